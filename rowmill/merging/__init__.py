"""Between the engine and the bulk kinds: a batch's rows cleaned, staged and merged into a table; what it would do; its undo."""
