"""NATS JetStream, and those who use it in the stories, by nats-py."""
