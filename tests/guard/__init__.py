"""What holds peers to their limits."""
