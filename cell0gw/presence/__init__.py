"""Presence: who is here, and who watches.

Imports: protocol, process, auth, sessions.
"""
