"""A directory of providers, merged from files by Rowmill: what somebody adds from outside (docs/add-a-kind.md)."""
