"""Ports and sockets, on a reactor of their own: messages are framed in batches here, and none is understood.

Imports of transports: frames.
"""
