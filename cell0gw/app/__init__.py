"""The gateway, put together.

Imports: everything.
"""
