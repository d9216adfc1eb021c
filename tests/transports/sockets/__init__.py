"""Ports and sockets."""
