"""The JSON API: thin."""
