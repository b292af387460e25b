"""The claims line of work."""
