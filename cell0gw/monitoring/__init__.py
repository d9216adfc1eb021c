"""What an operator is told: figures, health, limits that were hit, the audit log.

Imports: protocol, process, sessions.
"""
