"""Directed messages: sent at once, or kept until their recipient has them.

Imports of agents: conversations, message_ids.
"""
