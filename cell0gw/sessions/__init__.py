"""Sessions, the authenticated spans of connections: who calls, who hears of it, and who may come back.

Imports: protocol, process, auth.
"""
