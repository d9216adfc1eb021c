"""The wire: sockets, handshakes and frames, as far as Autobahn and Twisted leave something to do.

Imports: protocol, process, sessions, monitoring, guard, rpc.
"""
