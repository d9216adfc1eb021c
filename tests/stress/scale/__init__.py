"""Runs at scale: thousands of connections against a gateway as it is shipped, and what they cost the others."""
