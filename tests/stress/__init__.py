"""One real gateway, and everything at once that clients can do to it: C{python -m tests.stress}."""
