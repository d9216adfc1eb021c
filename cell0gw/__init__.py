"""cell0gw: the real-time gateway where AI agents, people and services meet."""

__version__ = "1.0.0"
