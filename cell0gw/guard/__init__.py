"""What holds peers to their limits.

Imports: protocol, sessions, monitoring.
"""
