"""Plugins: connectors to payers."""
