"""Tasks: work that is kept until it is done, though agents, creators and the gateway come and go.

Imports: protocol, auth, process, sessions, presence, channels, agents.
"""
