"""Sessions, the authenticated spans of connections: callers, observers, and resuming.

Imports: protocol, process, auth.
"""
