"""Bytes at rest; no Django."""
