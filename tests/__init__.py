"""The tests: a module for each of the gateway's, and e2e/ for what needs a real port."""
