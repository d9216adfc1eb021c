"""Clients that others wrote, each over every way to a gateway, in one table: C{python -m tests.clients}."""
