"""How the crash tests look at a database without the engine: SQLite's file or Postgres, read the same way.

On Postgres (ROWMILL_TEST_DATABASE=postgres, or a DATABASE_URL of one) times and ids come as the text that SQLite keeps.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

from rowmill.wiring import use_sound_sqlite

use_sound_sqlite()
import sqlite3  # noqa: E402  the sound one, as the server has it

_MADE = count(1)


def postgres_url() -> str:
    """Give the address of the Postgres database under test, "" on SQLite."""
    url = os.environ.get("DATABASE_URL", "")
    return url if url.startswith("postgres") else ""


@contextlib.contextmanager
def database_of_its_own() -> Iterator[None]:
    """Let the processes started inside work on an empty database of the run's Postgres; on SQLite a folder has its own."""
    given = os.environ.get("DATABASE_URL", "")
    if not given.startswith("postgres"):
        yield
        return
    from tests.servers.postgres import make_database

    server = urlsplit(given)._replace(path="/postgres").geturl()
    os.environ["DATABASE_URL"] = make_database(server, f"own_{os.getpid()}_{next(_MADE)}")
    try:
        yield
    finally:
        os.environ["DATABASE_URL"] = given


def open_read_only(data_dir: Path) -> Any:
    """Open the database of a data directory for reading; rows answer to positions and names."""
    if postgres_url():
        return OnPostgres(postgres_url())
    connection = sqlite3.connect(f"file:{data_dir / 'rowmill.sqlite3'}?mode=ro", uri=True, timeout=20)
    connection.row_factory = sqlite3.Row
    return connection


def file_troubles(database: Any) -> Iterator[str]:
    """Name what is wrong with the database as such; Postgres sees to that itself."""
    if isinstance(database, OnPostgres):
        return
    answer = [row[0] for row in database.execute("PRAGMA integrity_check")]
    if answer != ["ok"]:
        yield f"integrity: {answer[:3]}"
    if database.execute("PRAGMA foreign_key_check").fetchall():
        yield "integrity: a foreign key leads nowhere"


def wait_until_left(url: str, seconds: float = 120.0) -> None:
    """Wait until the server has noticed that a killed process is gone."""
    import psycopg

    others = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    until = time.monotonic() + seconds
    with psycopg.connect(url, autocommit=True) as connection:
        while connection.execute(others).fetchone() != (0,):
            assert time.monotonic() < until, "the server still holds connections of a dead process"
            time.sleep(0.01)


class OnPostgres:
    """As much of an sqlite3 connection as the checker uses, in one snapshot."""

    def __init__(self, url: str) -> None:
        import psycopg

        self._connection = psycopg.connect(url, options="-c default_transaction_isolation=repeatable\\ read")
        self._connection.read_only = True

    def execute(self, sql: str, values: tuple[Any, ...] = ()) -> Any:
        """Run a query written for SQLite."""
        cursor = self._connection.execute(sql.replace("%", "%%").replace("?", "%s"), values)
        names = [column.name for column in cursor.description or ()]
        return _Rows([_Row(names, row) for row in cursor.fetchall()])

    def close(self) -> None:
        """Let go."""
        self._connection.close()


class _Rows(list[Any]):
    """Rows that were all read."""

    def fetchall(self) -> list[Any]:
        """Give them all."""
        return list(self)

    def fetchone(self) -> Any:
        """Give the first, None where there is none."""
        return self[0] if self else None


class _Row(dict[Any, Any]):
    """One row by name and by position."""

    def __init__(self, names: list[str], values: tuple[Any, ...]) -> None:
        stored = [_as_stored(value) for value in values]
        super().__init__({**dict(zip(names, stored, strict=True)), **dict(enumerate(stored))})


def _as_stored(value: Any) -> Any:
    """Give a value as SQLite keeps it."""
    if isinstance(value, UUID):
        return value.hex
    if isinstance(value, datetime):
        return value.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.%f")
    return value
