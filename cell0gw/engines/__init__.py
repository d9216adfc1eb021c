"""Engines: where what must outlive the process is kept.

Imports: protocol, auth, channels, monitoring, agents, tasks.
"""
