"""The cohort line: submissions, their tables, and the patient IDs that these may name."""
