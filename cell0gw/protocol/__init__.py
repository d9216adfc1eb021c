"""What stands on the wire, and what both ends can compute: no Twisted, no input or output, no clock.

Imports: nothing.
"""
