"""Plugins: rules over rows."""
