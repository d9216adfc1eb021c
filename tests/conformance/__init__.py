"""Autobahn's own test cases against the production protocol and transport, over plain sockets and TLS: every verdict
must be OK or INFORMATIONAL.
"""
