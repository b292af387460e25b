"""Plugins: what a row means."""
