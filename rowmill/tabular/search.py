"""Looks for a text in a table's columnar copy, for the search box of a results page."""

from __future__ import annotations

from pathlib import Path

from rowmill.tabular.load import quote_text
from rowmill.tabular.rows import _connection


def find_rows(table: Path, text: str, columns: int, limit: int = 100_000) -> list[int]:
    """Give the numbers of the rows with a cell that holds the text, upper and lower case alike; at most `limit`.

    Cost: one scan of the copy. The text is a parameter of the query, never part of it.
    """
    cells = " OR ".join(f"contains(lower(c{place}), $text)" for place in range(1, columns + 1))
    if not cells:
        return []
    query = f"SELECT row_number FROM read_parquet({quote_text(str(table))}) WHERE {cells} ORDER BY row_number LIMIT {int(limit)}"
    return [row[0] for row in _connection().execute(query, {"text": text.lower()}).fetchall()]
