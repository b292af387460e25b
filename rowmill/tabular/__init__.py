"""Bytes to rows and back; no Django."""
