"""Mail, calls and conversations."""
