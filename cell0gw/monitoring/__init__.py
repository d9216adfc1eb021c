"""What an operator is told: figures, health, limits that were exceeded, the audit log.

Imports: protocol, process, sessions.
"""
