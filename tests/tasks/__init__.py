"""Tasks: work that is kept until it is done."""
