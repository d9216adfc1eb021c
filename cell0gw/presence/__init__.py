"""Presence: who is here, and who watches.

Imports: protocol, auth, sessions.
"""
