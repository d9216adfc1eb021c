"""Gateways that are killed, and connections that are cut: what must not be lost is counted afterwards."""
