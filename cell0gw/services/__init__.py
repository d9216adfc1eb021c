"""One file, one Service, one JSON-RPC namespace each: thin faces over the rules, plain objects a floor below."""
