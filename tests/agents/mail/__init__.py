"""Directed messages."""
