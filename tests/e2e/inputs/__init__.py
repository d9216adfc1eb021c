"""Tables of what no well-behaved client sends, by meaning, and what the gateway says to it."""
