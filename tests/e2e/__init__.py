"""The gateway as a process on a real port, driven by clients that this project did not write."""
