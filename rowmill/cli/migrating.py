"""`rowmill migrate`: makes the tables or brings them up to date, one process at a time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from rowmill.cli.safety import need_settings, on_postgres
from rowmill.cli.starting import first_admin_note, set_up_django
from rowmill.errors import ConfigError

MIGRATION_LOCK = 0x726F776D696C6C  # "rowmill"; one number among the database's advisory locks
SOUND_SQLITE = (3, 51, 3)


@contextmanager
def one_at_a_time() -> Iterator[None]:
    """Keep every other `migrate` on this Postgres waiting; SQLite's process is alone by its instance lock."""
    from django.db import connection

    if connection.vendor != "postgresql":
        yield
        return
    with connection.cursor() as cursor:
        cursor.execute("SET statement_timeout = 0")  # a long table takes its time; and so does the one before us
        cursor.execute("SET lock_timeout = 0")
        cursor.execute("SELECT pg_advisory_lock(%s)", [MIGRATION_LOCK])
    try:
        yield
    finally:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_unlock(%s)", [MIGRATION_LOCK])
            cursor.execute("RESET statement_timeout")
            cursor.execute("RESET lock_timeout")
        connection.close()


def prepare_database() -> None:
    """Bring the tables up to date, set WAL once, and refuse an SQLite that can corrupt it. Again: yes, also two at once."""
    from django.core.management import call_command
    from django.db import connection

    with one_at_a_time():
        call_command("migrate", verbosity=0, interactive=False)
    if connection.vendor != "sqlite":
        return
    with connection.cursor() as cursor:
        version = cursor.execute("SELECT sqlite_version()").fetchone()[0]
        if tuple(int(part) for part in version.split(".")) < SOUND_SQLITE:
            raise ConfigError(
                f"SQLite {version} can corrupt a database in WAL mode. Install pysqlite3 0.6.1 beside Rowmill."
            )
        cursor.execute("PRAGMA journal_mode=WAL")
    connection.close()


def migrate(
    data_dir: Annotated[Path | None, typer.Option(help="Folder of the embedded default.")] = None,
) -> None:
    """Make or bring up to date the database's tables, and stop. On Postgres it makes the first admin too."""
    clustered = on_postgres()
    if clustered:
        need_settings("migrate")
    set_up_django(data_dir)
    from django.conf import settings

    prepare_database()
    print("The database is up to date.")
    if clustered:
        with one_at_a_time():
            print(first_admin_note(settings.ROWMILL_BASE_URL))
