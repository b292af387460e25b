"""A payer that does not exist: answers claim inquiries the way real payers do, and fails the way they fail."""

__version__ = "1.0"
