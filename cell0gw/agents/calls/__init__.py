"""Calls from one entity to another: who can take one, who has it, and its answer.

Imports of agents: conversations, message_ids.
"""
