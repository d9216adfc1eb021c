"""One file, one Service, one JSON-RPC namespace each. The rules themselves are a floor's width below, in plain objects."""
