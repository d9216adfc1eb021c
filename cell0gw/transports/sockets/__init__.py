"""Ports and sockets, on a reactor of their own: no message is understood here."""
