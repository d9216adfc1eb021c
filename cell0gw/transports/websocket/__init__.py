"""The WebSocket protocol, Autobahn's, hardened.

Imports of transports: deflate, frames.
"""
