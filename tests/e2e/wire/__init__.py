"""What peers send, over real sockets."""
