"""Calls between entities."""
