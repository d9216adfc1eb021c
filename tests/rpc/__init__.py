"""From a message to its answer."""
