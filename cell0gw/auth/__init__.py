"""Tokens: what they say, what they allow, who may mint them.

Imports: protocol, process.
"""
