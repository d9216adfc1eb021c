"""The WebSocket protocol, Autobahn's, hardened."""
