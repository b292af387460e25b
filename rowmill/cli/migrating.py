"""`rowmill migrate`: makes the tables or brings them up to date, one process at a time."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rowmill.cli.safety import need_settings, on_postgres
from rowmill.cli.starting import first_admin_note, set_up_django


def prepare_database() -> None:
    """Bring the tables up to date, and set WAL once on SQLite. Again: yes, also two at once, which take turns.

    Raises: ConfigError where the database is one that Rowmill must not work on.
    """
    from django.core.management import call_command
    from django.db import connection

    from rowmill.monitor.database import changing_tables, need_sound_database

    need_sound_database()
    with changing_tables():
        call_command("migrate", verbosity=0, interactive=False)
    if connection.vendor == "sqlite":
        with connection.cursor() as cursor:
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

    from rowmill.monitor.database import changing_tables

    prepare_database()
    print("The database is up to date.")
    if clustered:
        with changing_tables():
            print(first_admin_note(settings.ROWMILL_BASE_URL))
