"""Checks before the first change for what can be seen to prevent a migration."""
