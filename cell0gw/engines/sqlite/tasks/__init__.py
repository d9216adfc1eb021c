"""Tasks in the file: the store, and its statements.

Imports of engines: sqlite.
"""
