"""One file, one Service, one JSON-RPC namespace each: thin faces over the rules, plain objects a floor below.

Imports: protocol, process, auth, sessions, channels, monitoring, presence, guard, agents, tasks, rpc.
"""
