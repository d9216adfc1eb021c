"""Hostile clients at full speed, and what honest ones beside them notice: C{python -m tests.stress.abuse}."""
