"""Channels: who is subscribed, what is published, what is held, and how what was missed is recovered.

Imports: protocol, process, sessions.
"""
