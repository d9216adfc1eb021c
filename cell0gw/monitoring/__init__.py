"""What an operator sees: figures, health, limits that were exceeded, the audit log.

Imports: protocol, process, sessions.
"""
