"""From a message to its answer.

Imports: protocol, auth, sessions, guard.
"""
