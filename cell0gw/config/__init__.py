"""The options: flags, environment variables, the file.

Imports: protocol, auth, process, channels, guard.
"""
