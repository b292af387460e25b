"""Receive, inspect and purge files."""
