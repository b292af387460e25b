"""What the environment makes of the settings: safe behind TLS, private on disk, and clear about what it cannot read."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from rowmill.errors import ConfigError
from rowmill.wiring import env, kept_secret


def load(tmp_path: Path, expression: str, **environment: str) -> str:
    """Load the settings in a process of its own and give what an expression over them says."""
    code = f"from rowmill import settings as s; print({expression})"
    given = {"PATH": os.environ["PATH"], "ROWMILL_DATA_DIR": str(tmp_path / "data"), **environment}
    done = subprocess.run([sys.executable, "-c", code], env=given, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_forms_work_behind_tls(tmp_path: Path) -> None:
    """With "no-referrer" browsers send `Origin: null` with every form, and the CSRF check refuses it."""
    assert load(tmp_path, "s.SECURE_REFERRER_POLICY", ROWMILL_HTTPS="yes") == "same-origin"


def test_a_new_data_directory_is_nobody_elses(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        kept_secret(tmp_path / "deep" / "data" / "keys", "secret.key", "")
    finally:
        os.umask(before)
    modes = [stat.S_IMODE((tmp_path / "deep" / "data" / part).stat().st_mode) for part in ("", "keys")]
    assert modes == [0o700, 0o700]


@pytest.mark.parametrize("name", ["ROWMILL_CONCURRENCY", "ROWMILL_MAX_UPLOAD_BYTES", "ROWMILL_INSPECT_SECONDS"])
@pytest.mark.parametrize("text", ["0", "-1", "many", ""])
def test_a_count_that_cannot_be_is_refused_by_name(monkeypatch: pytest.MonkeyPatch, name: str, text: str) -> None:
    monkeypatch.setenv(name, text)
    with pytest.raises(ConfigError, match=f"{name} cannot be read: it takes a whole number from 1 on"):
        env(name)


def test_a_plugin_without_a_path_is_refused_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROWMILL_KINDS", "mine")
    with pytest.raises(ConfigError, match=r"it takes slug=dotted\.path"):
        env("ROWMILL_KINDS")


def test_limits_of_kinds_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    assert env("ROWMILL_KIND_UPLOAD_BYTES") == {}
    monkeypatch.setenv("ROWMILL_KIND_UPLOAD_BYTES", "claim_status=100, contacts = 5")
    assert env("ROWMILL_KIND_UPLOAD_BYTES") == {"claim_status": 100, "contacts": 5}


@pytest.mark.parametrize("text", ["100", "a=", "a=0", "a=b", "a=1=2"])
def test_limits_of_kinds_that_make_no_sense_are_refused(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("ROWMILL_KIND_UPLOAD_BYTES", text)
    with pytest.raises(ConfigError, match="it takes slug=number"):
        env("ROWMILL_KIND_UPLOAD_BYTES")


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("ROWMILL_TIME_ZONE", "Mars/Base", "it takes a zone such as UTC or America/Chicago"),
        ("ROWMILL_TIME_ZONE", "../etc/passwd", "it takes a zone such as UTC or America/Chicago"),
        ("ROWMILL_LOG_LEVEL", "verbose", "it takes DEBUG, INFO, WARNING or ERROR"),
        ("ROWMILL_EMAIL_URL", "smtp://u:secret@mail.test:many", "it takes smtp://"),
        ("ROWMILL_EMAIL_URL", "mail.test", "it takes smtp://"),
        ("ROWMILL_BASE_URL", "rowmill.test", "it takes an address that begins with http:// or https://"),
    ],
)
def test_what_cannot_be_read_is_said_in_words(
    monkeypatch: pytest.MonkeyPatch, name: str, text: str, words: str
) -> None:
    monkeypatch.setenv(name, text)
    with pytest.raises(ConfigError, match=f"{name} cannot be read: {words}") as raised:
        env(name)
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("ROWMILL_TIME_ZONE", "America/Chicago"),
        ("ROWMILL_LOG_LEVEL", "debug"),
        ("ROWMILL_EMAIL_URL", "smtps://u:p@mail.test:465"),
        ("ROWMILL_EMAIL_URL", ""),
        ("ROWMILL_BASE_URL", "https://rowmill.test"),
    ],
)
def test_what_can_be_read_is_read(monkeypatch: pytest.MonkeyPatch, name: str, text: str) -> None:
    monkeypatch.setenv(name, text)
    assert env(name) == (text.upper() if name == "ROWMILL_LOG_LEVEL" else text)


@pytest.mark.parametrize(
    "text",
    [
        "mysql://rowmill:hunter2@db.test/rowmill",
        "postgres://rowmill:hunter2@db.test:many/rowmill",
        "postgres://rowmill:hunter2@db.test:0/rowmill",
        "postgres://rowmill:hunter2@db.test",
        "postgres://rowmill:hunter2@db.test/one/two",
        "postgres://rowmill:hunter2@/rowmill",
        "postgres://rowmill:hun#ter2@db.test/rowmill",
        "postgres://rowmill:hunter2/x@db.test/rowmill",
        "postgres://rowmill:hunter2@db.test/rowmill?sslmode=maybe",
        "postgres://rowmill:hunter2@db.test/rowmill?password=hunter2",
        "postgres://rowmill:hunter2@db.test/rowmill?options",
        "postgres://rowmill:hunter2@[db.test/rowmill",
    ],
)
def test_a_database_address_that_cannot_be_is_refused_without_its_password(
    monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.setenv("DATABASE_URL", text)
    with pytest.raises(ConfigError, match="DATABASE_URL cannot be read: ") as refused:
        env("DATABASE_URL")
    assert "hunter2" not in str(refused.value)
    assert "ter2" not in str(refused.value)


def test_a_postgres_address_gives_its_parts(tmp_path: Path) -> None:
    address = "postgresql://ro%40wmill:p%2Fa%3As%40s@db.test:5433/rowmill?sslmode=verify-full&sslrootcert=/etc/ca.pem"
    database = "s.DATABASES['default']"
    told = load(
        tmp_path,
        f"[{database}[n] for n in ('ENGINE', 'NAME', 'USER', 'PASSWORD', 'HOST', 'PORT')], "
        f"[{database}['OPTIONS'][n] for n in ('sslmode', 'sslrootcert', 'application_name')], "
        f"{database}['OPTIONS']['pool']['max_size']",
        DATABASE_URL=address,
        ROWMILL_DATABASE_CONNECTIONS="7",
    )
    wanted = "['django.db.backends.postgresql', 'rowmill', 'ro@wmill', 'p/a:s@s', 'db.test', '5433'] "
    assert told == wanted + "['verify-full', '/etc/ca.pem', 'rowmill'] 7"


def test_without_the_driver_it_says_what_to_install(tmp_path: Path) -> None:
    hidden = (
        "import importlib.util as u; found = u.find_spec; u.find_spec = lambda n: None if 'psycopg' in n else found(n)"
    )
    code = f"{hidden}\nfrom rowmill.errors import ConfigError\ntry: import rowmill.settings\nexcept ConfigError as e: print(e)"
    given = {"PATH": os.environ["PATH"], "ROWMILL_DATA_DIR": str(tmp_path), "DATABASE_URL": "postgres://u:hunter2@h/n"}
    done = subprocess.run([sys.executable, "-c", code], env=given, capture_output=True, text=True, check=True)
    assert "pip install 'rowmill[cluster]'" in done.stdout
    assert "hunter2" not in done.stdout


def test_pages_may_send_to_the_bucket_only_where_that_is_allowed(tmp_path: Path) -> None:
    place = "s3://bucket/p?endpoint=https://s3.clinic.example:9000&region=x&path_style=yes"
    policy = "s.CONTENT_SECURITY_POLICY['DIRECTIVES']['connect-src']"
    assert load(tmp_path, policy, ROWMILL_STORAGE_URL=place) == """["'self'"]"""
    told = load(tmp_path, policy, ROWMILL_STORAGE_URL=place, ROWMILL_DIRECT_UPLOADS="yes")
    assert told == """["'self'", 'https://s3.clinic.example:9000']"""
    assert load(tmp_path, policy, ROWMILL_DIRECT_UPLOADS="yes") == """["'self'"]"""
