"""What `web`, `worker`, `beat` and `migrate` refuse to start on: a configuration that is unsafe or half set, told in words."""

from __future__ import annotations

import base64
import binascii
import os
import time
from collections.abc import Callable, Iterator
from importlib import import_module
from typing import TypeVar
from urllib.parse import urlsplit

from rowmill.errors import ConfigError
from rowmill.wiring import POSTGRES, env

T = TypeVar("T")
SECRET_LENGTH = 32
WAIT_SECONDS = 30.0
PASSING = ("(refused)", "(timeout)", "(OperationalError)")  # what a database says that is just starting


def on_postgres() -> bool:
    """Tell whether the settings name a Postgres server."""
    return urlsplit(env("DATABASE_URL")).scheme in POSTGRES


def need_settings(role: str) -> None:
    """Look at the environment alone, before Django reads it and would make keys by itself. Raises: ConfigError."""
    found = list(find_unsafe(role))
    if len(found) == 1:
        raise ConfigError(found[0])
    if found:
        raise ConfigError("This cannot run as one of several processes yet:\n" + "\n".join(f"  - {w}" for w in found))


def find_unsafe(role: str) -> Iterator[str]:
    """Give a sentence for each thing that is not as several processes need it."""
    if not on_postgres():
        yield (
            "DATABASE_URL must name a Postgres server (postgres://user:password@host:port/name): SQLite is for "
            "`rowmill up`, which is one process."
        )
    if role != "migrate" or not (env("ROWMILL_DATA_DIR") / "keys" / "encryption.key").exists():  # those of `rowmill up`
        yield from _unsafe_secrets()
    if env("ROWMILL_DEBUG"):
        yield "ROWMILL_DEBUG is on, which shows data to anybody: set it to no."
    if role in ("web", "worker"):
        yield from _unsafe_storage()
    if role == "web":
        yield from _unsafe_addresses()
    if role == "beat" and not env("ROWMILL_BROKER_URL"):
        yield "ROWMILL_BROKER_URL is not set, so `rowmill beat` has nothing to ring; workers poll without it."
    else:
        env("ROWMILL_BROKER_URL")  # raises where it cannot be read


def _unsafe_secrets() -> Iterator[str]:
    """Hold the secrets against what every machine needs: the same ones, given and not made."""
    if len(env("SECRET_KEY")) < SECRET_LENGTH:
        yield (
            f"SECRET_KEY must be set to the same {SECRET_LENGTH} or more characters on all machines "
            "(openssl rand -base64 48): else each would sign people in for itself."
        )
    try:
        length = len(base64.b64decode(env("ROWMILL_ENCRYPTION_KEY"), validate=True))
    except binascii.Error:
        length = 0
    if length != 32:
        yield (
            "ROWMILL_ENCRYPTION_KEY must be set to the same base64 of 32 bytes on all machines (openssl rand -base64 32, "
            "or what keys/encryption.key of the first machine holds): else one could not open what another sealed."
        )


def _unsafe_storage() -> Iterator[str]:
    """See that all processes look at the same files."""
    if urlsplit(env("ROWMILL_STORAGE_URL")).scheme in ("", "file") and not env("ROWMILL_SHARED_STORAGE"):
        yield (
            "ROWMILL_STORAGE_URL names a local folder. Set it to a bucket (s3://bucket/prefix), or state by "
            "ROWMILL_SHARED_STORAGE=yes that this folder is one and the same for every process and machine."
        )


def _unsafe_addresses() -> Iterator[str]:
    """Hold the names and the address against what a web server that others reach needs."""
    if "ROWMILL_ALLOWED_HOSTS" not in os.environ or "*" in env("ROWMILL_ALLOWED_HOSTS"):
        yield "ROWMILL_ALLOWED_HOSTS must name the hosts that people type, such as rowmill.clinic.example; * is no name."
    if "ROWMILL_BASE_URL" not in os.environ:
        yield "ROWMILL_BASE_URL must be the address that people type, such as https://rowmill.clinic.example."
    elif (urlsplit(env("ROWMILL_BASE_URL")).scheme == "https") != env("ROWMILL_HTTPS"):
        yield "ROWMILL_BASE_URL and ROWMILL_HTTPS disagree: with https:// set ROWMILL_HTTPS=yes, without it no."


def once_answered(ask: Callable[[], T], wait_seconds: float = WAIT_SECONDS) -> T:
    """Ask the database something at start, again and again while it does not answer: it may be starting too.

    Raises: ConfigError after so long.
    """
    from django.db import InterfaceError, OperationalError, connection

    until = time.monotonic() + wait_seconds
    while True:
        try:
            return ask()
        except (OperationalError, InterfaceError) as error:
            connection.close()
            if time.monotonic() > until:
                raise ConfigError(
                    f"The database does not answer ({type(error).__name__}). Look at DATABASE_URL, and whether it runs."
                ) from None
            time.sleep(1.0)


def need_database(wait_seconds: float = WAIT_SECONDS) -> None:
    """Wait for the database, and see that its tables are those of this release. Raises: ConfigError."""
    from django.db import connection
    from django.db.migrations.executor import MigrationExecutor

    executor = once_answered(lambda: MigrationExecutor(connection), wait_seconds)
    if executor.migration_plan(executor.loader.graph.leaf_nodes()):
        raise ConfigError("The database's tables are not those of this release. Run `rowmill migrate` first.")


def need_storage() -> None:
    """Raises: ConfigError where the storage's settings cannot be used. One that is only away for now is waited for."""
    from django.conf import settings

    import_module("rowmill.storage.opening").open_storage(settings)
