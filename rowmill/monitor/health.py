"""Whether this installation is alive and can work: database, disk, keys."""

from __future__ import annotations

from dataclasses import dataclass

from django.conf import settings
from django.db import DatabaseError, connection

from rowmill.storage import LocalStorage


@dataclass(frozen=True, slots=True)
class Health:
    """What was looked at. Each value is "ok" or the cause in words."""

    parts: dict[str, str]

    @property
    def ok(self) -> bool:
        """Tell whether all is well."""
        return all(word == "ok" for word in self.parts.values())


def read_health() -> Health:
    """Look at the database and the disk. Cost: one trivial query."""
    return Health({"database": _database(), "disk": _disk()})


def _database() -> str:
    """Ask the database for a one."""
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
            return "ok" if cursor.fetchone() == (1,) else "The database gives a wrong answer."
    except DatabaseError as error:
        return f"The database does not answer ({type(error).__name__})."


def _disk() -> str:
    """Hold the free space against its threshold."""
    free = LocalStorage(settings.STORAGE_DIR).free_bytes()
    if free is not None and free < settings.ROWMILL_MIN_FREE_BYTES:
        return f"Only {free:,} bytes are free; uploads are refused and jobs wait below {settings.ROWMILL_MIN_FREE_BYTES:,}."
    return "ok"
