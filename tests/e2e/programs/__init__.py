"""Programs that have the gateway in them, each run as a process of its own: ``program.py STATE_DIR``."""
