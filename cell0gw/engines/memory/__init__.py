"""An engine that forgets with the process, for tests.

Imports of engines: interfaces.
"""
