"""Rowmill: self-hosted bulk intake of tables that accounts for every row."""

__version__ = "0.1.0"
