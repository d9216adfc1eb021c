"""The gateway's own benchmark: ``make bench``."""
