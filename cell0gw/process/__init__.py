"""The process: its clocks, ids and randomness, its descriptors, its log, its signals, its folder, and systemd.

Imports: protocol.
"""
