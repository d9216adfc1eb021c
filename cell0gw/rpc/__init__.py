"""From a message to its answer.

Imports: protocol, process, auth, sessions, guard.
"""
