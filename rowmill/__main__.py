"""Lets `python -m rowmill` stand for the `rowmill` command."""

from rowmill.cli import main

main()
