"""Short runs of what takes long."""
