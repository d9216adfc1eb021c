"""The namespaces, each through a client."""
