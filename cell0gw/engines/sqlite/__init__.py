"""The engine of the single process: one SQLite file with one thread that writes it.

Imports of engines: interfaces.
"""
