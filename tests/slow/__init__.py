"""Slow lines, and what arrives by them however long it takes: C{python -m tests.slow}."""
