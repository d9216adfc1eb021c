"""What agents need to rely on each other: mail, calls, and the conversations that both belong to.

Imports: protocol, auth, process, sessions, presence.
"""
