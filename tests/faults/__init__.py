"""Faults that a gateway meets, one scenario each, against a real process: see C{python -m tests.faults --help}."""
