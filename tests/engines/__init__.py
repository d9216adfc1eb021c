"""Engines: one suite for all of them, and what is special about one."""
