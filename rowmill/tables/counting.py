"""How many rows were found, without a look at a million of them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

from django.db import OperationalError, connection, transaction
from django.db.models import QuerySet

EXACT_ROWS = 10_000  # counted one by one up to here
COUNT_MILLISECONDS = 400
CLEARLY_MANY = 5  # times as many by the estimate, and nobody counts
_SORT_MEMORY = "32MB"


@dataclass(frozen=True, slots=True)
class Total:
    """How many there are: exactly; about, as the database estimates; more than that; or many, where nobody can tell."""

    number: int
    word: Literal["exact", "about", "more", "many"]


def count_rows(found: QuerySet[Any], *, guessed: bool) -> Total:
    """Count what was found: one by one up to 10,000, for 0.4 s at most, else as Postgres estimates.

    `guessed`: its estimate would be a mere guess (beginnings of words are not in its statistics); SQLite has none.
    """
    postgres = connection.vendor == "postgresql"
    if postgres and not guessed and (estimate := _estimate(found)) > CLEARLY_MANY * EXACT_ROWS:
        return Total(estimate, "about")
    with transaction.atomic():
        try:
            with transaction.atomic(), limit_time(COUNT_MILLISECONDS):
                number = _count_few(found)
        except OperationalError:
            number = None
    if number is not None and number <= EXACT_ROWS:
        return Total(number, "exact")
    if guessed or not postgres:
        return Total(0, "many") if number is None else Total(EXACT_ROWS, "more")
    return Total(max(_estimate(found), EXACT_ROWS + 1), "about")


def _count_few(found: QuerySet[Any]) -> int:
    """Count up to one more than is counted one by one. Raises: OperationalError when the time is up."""
    allow_memory()
    return found.order_by().values("id")[: EXACT_ROWS + 1].count()


@contextmanager
def limit_time(milliseconds: int) -> Iterator[None]:
    """Let each statement take so long at most, on Postgres: it raises OperationalError then. Inside a transaction."""
    if connection.vendor != "postgresql":
        yield
        return
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_setting('statement_timeout')")
        before = cursor.fetchone()[0]
    _set("statement_timeout", str(milliseconds))
    yield
    _set("statement_timeout", before)  # where it was raised, the transaction's end sets it back


def allow_memory() -> None:
    """Let the queries of this transaction note every row that an index finds; in less memory Postgres looks at whole pages."""
    if connection.vendor == "postgresql":
        _set("work_mem", _SORT_MEMORY)


def _estimate(found: QuerySet[Any]) -> int:
    """Ask Postgres how many rows it expects, to two digits: it knows no more."""
    plan = found.order_by().values("id").explain(format="json")
    rows = int(json.loads(plan)[0]["Plan"]["Plan Rows"])
    return round(rows, 2 - len(str(rows)))


def _set(name: str, value: str) -> None:
    """Change a setting of the connection until the transaction ends."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config(%s, %s, true)", [name, value])
