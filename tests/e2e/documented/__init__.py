"""What is documented, as documented."""
