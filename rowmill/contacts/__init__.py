"""The line of work of contacts: their fields, how the columns of a file are matched to them, samples."""
