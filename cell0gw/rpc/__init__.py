"""From a message to its answer.

Imports: protocol, auth, process, sessions, guard.
"""
