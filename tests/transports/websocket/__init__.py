"""The WebSocket protocol."""
