"""Tokens: what they say, what they allow, whom one sees with them, who may mint them.

Imports: protocol, process.
"""
