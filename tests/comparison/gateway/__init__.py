"""The gateway, and those who use it in the stories."""
