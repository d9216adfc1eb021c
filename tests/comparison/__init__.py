"""The same stories, told to the gateway and to NATS JetStream, and what came of them, in docs/comparison.md:
C{python -m tests.comparison}.
"""
