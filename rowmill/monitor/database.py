"""Looks at the database before the first thing is done with it, and lets one process at a time change its tables."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.conf import settings
from django.db import DatabaseError, NotSupportedError, connection

from rowmill.errors import ConfigError

OLDEST_POSTGRES = 15
OLDEST_SQLITE = (3, 51, 3)
_MIGRATING = 0x526F77_6D696C6C  # the advisory lock of whoever changes the tables


def need_sound_database() -> None:
    """Raises: ConfigError where the database cannot be reached, or is one that Rowmill must not work on."""
    try:
        if connection.vendor == "postgresql":
            _knock(connection)
            _need_postgres()
        else:
            _need_sqlite()
    except NotSupportedError:
        raise ConfigError(_too_old("of its release")) from None
    except DatabaseError as error:
        raise ConfigError(f"{_where()} cannot be reached ({_reason(error)}). Check DATABASE_URL.") from None


def _knock(wrapper: Any) -> None:
    """Connect past the pool, which would try again and again and not say why it failed."""
    with wrapper.wrap_database_errors:
        wrapper.Database.connect(**wrapper.get_connection_params()).close()


def _need_postgres() -> None:
    """Raises: ConfigError for an old server, and for a database that cannot hold every letter."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_setting('server_version_num')::int / 10000, current_setting('server_encoding')")
        version, encoding = cursor.fetchone()
    if version < OLDEST_POSTGRES:
        raise ConfigError(_too_old(f"release {version}"))
    if encoding != "UTF8":
        raise ConfigError(
            f"{_where()} is encoded in {encoding}, which cannot hold every name. "
            "Make one with: createdb --encoding=UTF8 --template=template0."
        )


def _need_sqlite() -> None:
    """Raises: ConfigError for a library that can corrupt its file (docs/adr/0003-sqlite.md)."""
    with connection.cursor() as cursor:
        version = cursor.execute("SELECT sqlite_version()").fetchone()[0]
    if tuple(int(part) for part in version.split(".")) < OLDEST_SQLITE:
        raise ConfigError(
            f"SQLite {version} can corrupt a database in WAL mode. Install pysqlite3 0.6.1 beside Rowmill."
        )


def _where() -> str:
    """Name the database without user and password."""
    chosen = settings.DATABASES["default"]
    if connection.vendor != "postgresql":
        return "The SQLite database"
    return f"The Postgres database {chosen['NAME']} at {chosen['HOST']}:{chosen['PORT'] or 5432}"


def _too_old(what: str) -> str:
    """Say that the server is too old."""
    return f"{_where()} is too old ({what}). Rowmill needs Postgres {OLDEST_POSTGRES} or newer."


def _reason(error: DatabaseError) -> str:
    """Give the kind of trouble; the server's own words may quote what was sent."""
    text = str(error).lower()
    for words in ("password authentication failed", "does not exist", "ssl", "timeout", "refused", "translate host"):
        if words in text:
            return {"translate host": "no such host", "ssl": "TLS could not be agreed on"}.get(words, words)
    return type(error).__name__


@contextmanager
def changing_tables() -> Iterator[None]:
    """Let one process at a time change the tables; the others wait, and find nothing left to do.

    However long it takes: the limits of everyday statements are lifted for it.
    """
    if connection.vendor != "postgresql":
        yield
        return
    with connection.cursor() as cursor:
        cursor.execute("SET statement_timeout = 0")
        cursor.execute("SET lock_timeout = 0")
        cursor.execute("SET idle_in_transaction_session_timeout = 0")
        cursor.execute("SELECT pg_advisory_lock(%s)", [_MIGRATING])
    try:
        yield
    finally:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_unlock(%s)", [_MIGRATING])
            for name in ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout"):
                cursor.execute(f"RESET {name}")
