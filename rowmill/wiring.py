"""Reads the environment: every setting Rowmill knows, with its default and what it is for (documented in docs/settings.md)."""

from __future__ import annotations

import base64
import os
import secrets
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, parse_qs, urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from rowmill.errors import ConfigError
from rowmill.storage.url import read_place


def _boolean(text: str) -> bool:
    """Read yes/no in its usual spellings."""
    if text.lower() in {"1", "true", "yes", "on"}:
        return True
    if text.lower() in {"", "0", "false", "no", "off"}:
        return False
    raise ValueError("it takes yes or no")


def _words(text: str) -> list[str]:
    """Split at commas."""
    return [word.strip() for word in text.split(",") if word.strip()]


def _count(text: str) -> int:
    """Read a number of which none, or less, makes no sense."""
    if not (text.isascii() and text.isdigit() and int(text) > 0):
        raise ValueError("it takes a whole number from 1 on")
    return int(text)


def _whole(text: str) -> int:
    """Read a number that may be 0."""
    if not (text.isascii() and text.isdigit()):
        raise ValueError("it takes a whole number, 0 or more")
    return int(text)


def _zone(text: str) -> str:
    """Read a time zone's name."""
    try:
        ZoneInfo(text)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError("it takes a zone such as UTC or America/Chicago") from None
    return text


def _level(text: str) -> str:
    """Read a level of the log."""
    if text.upper() not in {"DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"}:
        raise ValueError("it takes DEBUG, INFO, WARNING or ERROR")
    return text.upper()


def _mail_server(text: str) -> str:
    """Read a mail server's address; its text may hold a password, so no error quotes it."""
    if text and not _is_address(text, {"smtp", "smtps"}):
        raise ValueError("it takes smtp:// or smtps:// with a host and, if need be, a port")
    return text


def _broker_url(text: str) -> str:
    """Read a broker's address; its text may hold a password, so no error quotes it."""
    if text and not _is_address(text, {"redis", "rediss"}):
        raise ValueError("it takes redis:// or rediss:// with a host and, if need be, a port and a database's number")
    return text


def _storage(text: str) -> str:
    """Read where the files lie; its text may hold a secret by mistake, so no error quotes it."""
    read_place(text)
    return text


def _base_url(text: str) -> str:
    """Read the installation's own address."""
    if not _is_address(text, {"http", "https"}):
        raise ValueError("it takes an address that begins with http:// or https:// and names a host")
    return text


SQLITE, POSTGRES = frozenset({"sqlite"}), frozenset({"postgres", "postgresql"})
POSTGRES_OPTIONS = frozenset(
    {"sslmode", "sslrootcert", "sslcert", "sslkey", "sslcrl", "host", "channel_binding", "target_session_attrs"}
)
_SSL_MODES = frozenset({"disable", "allow", "prefer", "require", "verify-ca", "verify-full"})


def _database(text: str) -> str:
    """Read a database's address; its text may hold a password, so no error quotes it."""
    takes = "it takes postgres://user:password@host:port/name or sqlite:///path (in user and password write @ as %40, "
    if not text:
        return text
    try:
        parts = urlsplit(text)
        known = parts.scheme in SQLITE | POSTGRES and parts.port != 0
        options = parse_qs(parts.query, strict_parsing=True) if parts.query else {}
    except ValueError:
        known, options = False, {}
    if not known or parts.fragment:
        raise ValueError(takes + "/ as %2F, # as %23, : as %3A)") from None
    if parts.scheme in POSTGRES:
        _need_postgres(parts, options)
    return text


def _need_postgres(parts: SplitResult, options: Mapping[str, list[str]]) -> None:
    """Raises: ValueError where a Postgres address lacks a part or has one that is not known."""
    if not (parts.hostname or options.get("host")) or not parts.path.strip("/") or parts.path.count("/") > 1:
        raise ValueError("it takes a host and the name of one database: postgres://user:password@host:port/name")
    unknown = sorted(options.keys() - POSTGRES_OPTIONS)
    if unknown:
        raise ValueError(f"behind the ? it takes {', '.join(sorted(POSTGRES_OPTIONS))}")
    if not set(options.get("sslmode", [])) <= _SSL_MODES:
        raise ValueError(f"sslmode is one of {', '.join(sorted(_SSL_MODES))}")


def _is_address(text: str, schemes: set[str]) -> bool:
    """Tell whether an address has one of these schemes, a host, and a port that can be, if any."""
    try:
        parts = urlsplit(text)
        return parts.scheme in schemes and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def _plugins(text: str) -> dict[str, str]:
    """Read `slug=dotted.path,slug=dotted.path`."""
    words = _words(text)
    if not all("=" in word for word in words):
        raise ValueError("it takes slug=dotted.path, separated by commas")
    return dict(word.split("=", 1) for word in words)


def _counts(text: str) -> dict[str, int]:
    """Read `slug=number,slug=number`."""
    try:
        return {slug.strip(): _count(number.strip()) for slug, number in (word.split("=") for word in _words(text))}
    except ValueError:
        raise ValueError("it takes slug=number, separated by commas, each number from 1 on") from None


@dataclass(frozen=True)
class Setting:
    """One environment variable: its name, its default as text, how it is read, and one sentence of help."""

    name: str
    default: str
    parse: Callable[[str], Any]
    help: str


SETTINGS: tuple[Setting, ...] = (
    Setting(
        "ROWMILL_DATA_DIR", "rowmill-data", Path, "Folder for the database, files and keys of the embedded default."
    ),
    Setting(
        "ROWMILL_STORAGE_URL",
        "",
        _storage,
        "Where files lie: file:///path or s3://bucket/prefix?endpoint=...; empty means the data directory.",
    ),
    Setting(
        "ROWMILL_SCRATCH_BYTES",
        str(20 * 1024 * 1024 * 1024),
        _count,
        "Most that copies of a bucket's files take on this machine's disk.",
    ),
    Setting(
        "DATABASE_URL",
        "",
        _database,
        "Database: postgres://user:password@host:port/name; empty means SQLite in the data directory.",
    ),
    Setting(
        "ROWMILL_DATABASE_CONNECTIONS",
        "0",
        _whole,
        "Most connections of one process to Postgres; 0 means as many as its threads can use.",
    ),
    Setting(
        "ROWMILL_BROKER_URL",
        "",
        _broker_url,
        "redis://host:port/0 (rediss for TLS) carries rings between processes; empty means that workers only poll.",
    ),
    Setting("ROWMILL_BEAT_SECONDS", "10", _count, "How often `rowmill beat` rings each lane."),
    Setting("ROWMILL_STOP_SECONDS", "20", _count, "How long a stop waits for batches under way to end or go back."),
    Setting(
        "ROWMILL_SHARED_STORAGE",
        "no",
        _boolean,
        "Set to yes to state that the local storage folder is the same one for every process and machine.",
    ),
    Setting(
        "SECRET_KEY", "", str, "Signs sessions and tokens; empty means one made at first start in the data directory."
    ),
    Setting(
        "ROWMILL_ENCRYPTION_KEY",
        "",
        str,
        "Base64 of 32 bytes that wraps every org's data key; empty means one made at first start.",
    ),
    Setting("ROWMILL_ALLOWED_HOSTS", "localhost,127.0.0.1,[::1]", _words, "Host names that the server answers to."),
    Setting(
        "ROWMILL_BASE_URL",
        "http://127.0.0.1:8000",
        _base_url,
        "Address of this installation as people type it; used in e-mails.",
    ),
    Setting(
        "ROWMILL_HTTPS", "no", _boolean, "Set to yes behind TLS: secure cookies, HSTS, trust of X-Forwarded-Proto."
    ),
    Setting("ROWMILL_DEBUG", "no", _boolean, "Django's debug mode; never with real data."),
    Setting("ROWMILL_LOG_LEVEL", "INFO", _level, "DEBUG, INFO, WARNING or ERROR."),
    Setting("ROWMILL_TIME_ZONE", "UTC", _zone, "Zone in which pages show times."),
    Setting("ROWMILL_ADMIN_EMAIL", "", str, "E-mail address of the first admin, made at start."),
    Setting(
        "ROWMILL_ADMIN_PASSWORD",
        "",
        str,
        "Password of the first admin; empty means a one-time sign-in link is printed.",
    ),
    Setting("ROWMILL_ORG_NAME", "My organisation", str, "Name of the first org, made at start."),
    Setting(
        "ROWMILL_MAX_UPLOAD_BYTES", str(10 * 1024 * 1024), _count, "Largest file that a whole POST takes, in bytes."
    ),
    Setting(
        "ROWMILL_KIND_UPLOAD_BYTES",
        "",
        _counts,
        "The same for single kinds, in bytes: slug=number, separated by commas.",
    ),
    Setting(
        "ROWMILL_MAX_FILE_BYTES",
        str(50 * 1024 * 1024 * 1024),
        _count,
        "Largest file that the resumable doors take, in bytes.",
    ),
    Setting("ROWMILL_MAX_CHUNK_BYTES", str(64 * 1024 * 1024), _count, "Largest chunk of a chunked upload, in bytes."),
    Setting("ROWMILL_SESSION_HOURS", "6", _count, "An upload that is under way ends this long after its last part."),
    Setting(
        "ROWMILL_ORG_BYTES",
        str(1024 * 1024 * 1024 * 1024),
        _whole,
        "Most bytes that the files of one org may take, those under way included; 0 means no limit.",
    ),
    Setting("ROWMILL_ORG_FILES", "100000", _whole, "Most files that one org may keep; 0 means no limit."),
    Setting("ROWMILL_ORG_SESSIONS", "5000", _whole, "Most uploads of one org under way; 0 means no limit."),
    Setting(
        "ROWMILL_DIRECT_UPLOADS",
        "no",
        _boolean,
        "Large files may go from the browser straight to the bucket, which it must be able to reach (docs/storage.md).",
    ),
    Setting(
        "ROWMILL_MIN_FREE_BYTES",
        str(500 * 1024 * 1024),
        int,
        "Below this much free disk, uploads get 507 and jobs wait.",
    ),
    Setting("ROWMILL_CONCURRENCY", "8", _count, "Batches that one process works on at a time."),
    Setting("ROWMILL_POLL_SECONDS", "1.0", float, "How often an idle runner looks for work without a ring."),
    Setting(
        "ROWMILL_SWEEP_SECONDS", "5.0", float, "How often the sweeper looks for expired leases and jobs to settle."
    ),
    Setting("ROWMILL_LEASE_SECONDS", "0", int, "Length of a batch's lease; 0 means the kind's own."),
    Setting(
        "ROWMILL_INSPECT_MEMORY_BYTES",
        str(1024 * 1024 * 1024),
        _count,
        "Memory that the child which reads a file may use.",
    ),
    Setting("ROWMILL_INSPECT_SECONDS", "300", _count, "Time that the child which reads a file may take."),
    Setting("ROWMILL_DUPLICATE_HOURS", "24", int, "For how long the same bytes again are held back as a duplicate."),
    Setting("ROWMILL_SESSION_IDLE_MINUTES", "30", _count, "A browser session ends after this long without a click."),
    Setting("ROWMILL_ACCESS_TOKEN_MINUTES", "10", _count, "Life of an API access token."),
    Setting("ROWMILL_REFRESH_TOKEN_HOURS", "12", _count, "Life of an API refresh token."),
    Setting(
        "ROWMILL_EMAIL_URL",
        "",
        _mail_server,
        "smtp://user:password@host:port (smtps for TLS); empty writes mail to files in the data directory.",
    ),
    Setting("ROWMILL_EMAIL_FROM", "rowmill@localhost", str, "Sender of e-mails."),
    Setting("ROWMILL_APPS", "", _words, "Django apps of your own, with tables for your kinds: dotted names."),
    Setting("ROWMILL_KINDS", "", _plugins, "More kinds: slug=dotted.path, separated by commas."),
    Setting("ROWMILL_PAYERS", "", _plugins, "More payers: slug=dotted.path, separated by commas."),
    Setting("ROWMILL_CHECKS", "", _plugins, "More checks: slug=dotted.path, separated by commas."),
)
_BY_NAME: Mapping[str, Setting] = {setting.name: setting for setting in SETTINGS}


def env(name: str) -> Any:
    """Give a setting's value from the environment or its default.

    Raises: ConfigError with the setting's name and what it takes.
    """
    setting = _BY_NAME[name]
    text = os.environ.get(name, setting.default)
    try:
        return setting.parse(text)
    except (ValueError, TypeError) as error:
        raise ConfigError(f"{name} cannot be read: {error}. It is: {setting.help}") from error


def kept_secret(folder: Path, name: str, given: str) -> str:
    """Give a secret from the environment, or the one kept in a file of mode 0600, made when it is missing.

    Again: gives the same.
    """
    if given:
        return given
    path = folder / name
    try:
        return path.read_text().strip()
    except FileNotFoundError:
        folder.parent.mkdir(parents=True, exist_ok=True, mode=0o700)  # the data directory: `parents` are open to all
        folder.mkdir(exist_ok=True, mode=0o700)
    made = base64.b64encode(secrets.token_bytes(32)).decode()
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return path.read_text().strip()
    with os.fdopen(handle, "w") as file:
        file.write(made + "\n")
        file.flush()
        os.fsync(file.fileno())
    return made


def use_sound_sqlite() -> None:
    """Put the bundled SQLite in the place of the system's, before Django imports it.

    Source: SQLite older than 3.51.3 can corrupt a database in WAL mode (docs/adr/0003-sqlite.md).
    """
    if sys.modules.get("sqlite3") is not None and sys.modules.get("sqlite3") is sys.modules.get("pysqlite3"):
        return
    try:
        import pysqlite3  # noqa: PLC0415
    except ImportError:
        return
    sys.modules["sqlite3"] = pysqlite3
    sys.modules["sqlite3.dbapi2"] = pysqlite3.dbapi2
