"""The process: its clocks, its descriptors, its log, its signals, its folder, and systemd.

Imports: protocol.
"""
