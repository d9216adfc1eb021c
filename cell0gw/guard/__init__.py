"""What holds peers to their limits.

Imports: protocol, process, sessions, monitoring.
"""
