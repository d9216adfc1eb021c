"""Channels: who is subscribed, what is published, what is retained, and how missed messages are recovered.

Imports: protocol, process, auth, sessions.
"""
