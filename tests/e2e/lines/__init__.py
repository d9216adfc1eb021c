"""Connections that are slow, and how connections end."""
