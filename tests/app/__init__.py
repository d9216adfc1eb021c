"""The gateway, put together."""
