"""Tables of one's own: what bulk kinds from outside brought into them, to look at and to take home."""
