"""What a start says of a database that it cannot or must not work on."""

from __future__ import annotations

import pytest
from django.db import connection
from django.db.utils import NotSupportedError

from rowmill.errors import ConfigError
from rowmill.monitor import database
from rowmill.monitor.database import changing_tables, need_sound_database
from tests.early import ON_POSTGRES

pytestmark = pytest.mark.django_db(transaction=True)
on_postgres = pytest.mark.skipif(not ON_POSTGRES, reason="speaks of a Postgres server: make test-postgres")


def test_a_sound_database_is_taken() -> None:
    need_sound_database()
    with changing_tables():
        pass


@on_postgres
@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"PORT": "1"}, "refused"),
        ({"PASSWORD": "hunter2"}, "password authentication failed"),
        ({"NAME": "nobody-made-it"}, "does not exist"),
        ({"HOST": "no-such-host.invalid"}, "cannot be reached"),
    ],
)
def test_a_database_out_of_reach_is_told_in_words(monkeypatch, changed: dict[str, str], words: str) -> None:
    for name, value in changed.items():
        monkeypatch.setitem(connection.settings_dict, name, value)
    with pytest.raises(ConfigError, match=words) as told:
        need_sound_database()
    assert "Check DATABASE_URL" in str(told.value)
    assert "hunter2" not in str(told.value)
    assert told.value.__suppress_context__


@on_postgres
def test_a_server_that_is_too_old_is_refused(monkeypatch) -> None:
    monkeypatch.setattr(database, "OLDEST_POSTGRES", 99)
    with pytest.raises(ConfigError, match="is too old .* Rowmill needs Postgres 99 or newer"):
        need_sound_database()


def test_one_that_django_refuses_is_refused_in_words(monkeypatch) -> None:
    def refuse() -> None:
        raise NotSupportedError("too old")

    monkeypatch.setattr(database, "_need_postgres", refuse)
    monkeypatch.setattr(database, "_need_sqlite", refuse)
    with pytest.raises(ConfigError, match="is too old"):
        need_sound_database()


@on_postgres
def test_a_database_that_cannot_hold_every_name_is_refused(monkeypatch) -> None:
    with connection.cursor() as cursor:
        cursor.execute("DROP DATABASE IF EXISTS narrow")
        cursor.execute("CREATE DATABASE narrow ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0")
    connection.close()
    connection.close_pool()
    monkeypatch.setitem(connection.settings_dict, "NAME", "narrow")
    try:
        with pytest.raises(ConfigError, match="encoded in LATIN1"):
            need_sound_database()
    finally:
        connection.close()
        connection.close_pool()


@on_postgres
def test_two_that_change_the_tables_do_so_one_after_the_other() -> None:
    import psycopg

    with changing_tables():
        other = psycopg.connect(**connection.get_connection_params(), autocommit=True)
        other.execute("SET lock_timeout = '200ms'")
        with other, pytest.raises(psycopg.errors.LockNotAvailable):
            other.execute("SELECT pg_advisory_lock(%s)", [database._MIGRATING])
    with connection.cursor() as cursor:
        cursor.execute(  # of this database: the tests' other processes work on the same server
            "SELECT count(*) FROM pg_locks l JOIN pg_database d ON d.oid = l.database "
            "WHERE l.locktype = 'advisory' AND d.datname = current_database()"
        )
        assert cursor.fetchone() == (0,)
        cursor.execute("SHOW statement_timeout")
        assert cursor.fetchone() == ("2min",)
