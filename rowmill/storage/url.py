"""Reads ROWMILL_STORAGE_URL: which storage, and how it is reached. Never quotes what may hold a secret."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

LOOPBACK = {"localhost", "127.0.0.1", "::1"}
OPTIONS = ("endpoint", "region", "path_style", "plain_http")
FORM = "s3://bucket/prefix?endpoint=https://host:port&region=...&path_style=yes, or file:///absolute/path, or nothing"
_YES, _NO = {"1", "true", "yes", "on"}, {"", "0", "false", "no", "off"}


@dataclass(frozen=True, slots=True)
class Place:
    """Where bytes lie: a folder, or a bucket with a prefix. `endpoint` is "" for Amazon's own."""

    folder: Path | None = None
    bucket: str = ""
    prefix: str = ""
    endpoint: str = ""
    region: str = ""
    path_style: bool = False


def read_place(url: str) -> Place:
    """Read the address. Gives Place() for an empty one. Raises: ValueError that says what it takes."""
    if not url.strip():
        return Place()
    try:
        parts = urlsplit(url.strip())
    except ValueError:
        raise ValueError(f"it takes {FORM}") from None
    if parts.scheme == "file":
        return _read_folder(parts)
    if parts.scheme == "s3":
        return _read_bucket(parts)
    raise ValueError(f"it takes {FORM}")


def find_origins(place: Place) -> list[str]:
    """Give the origins that a signed address of a bucket may have, for the pages' Content-Security-Policy; none for a folder."""
    if not place.bucket:
        return []
    if place.endpoint:
        scheme, _, host = place.endpoint.partition("://")
        return [place.endpoint] if place.path_style else [place.endpoint, f"{scheme}://{place.bucket}.{host}"]
    region = place.region or os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or ""
    hosts = ["s3.amazonaws.com", f"s3.{region}.amazonaws.com"] if region else ["s3.amazonaws.com"]
    return [f"https://{place.bucket}.{host}" for host in hosts] + [f"https://{host}" for host in hosts]


def _read_folder(parts: SplitResult) -> Place:
    """Read file:///absolute/path."""
    if parts.netloc not in ("", "localhost") or parts.query or len(parts.path) < 2:
        raise ValueError("a folder is written file:///absolute/path, with three slashes and nothing behind the path")
    return Place(folder=Path(unquote(parts.path)))


def _read_bucket(parts: SplitResult) -> Place:
    """Read s3://bucket/prefix with its options."""
    if "@" in parts.netloc or ":" in parts.netloc:
        raise ValueError(
            "credentials do not belong in it: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY; a host goes into endpoint="
        )
    if not parts.netloc:
        raise ValueError("the bucket is missing: s3://bucket/prefix")
    options = _read_options(parts.query)
    return Place(
        bucket=parts.netloc,
        prefix=unquote(parts.path).strip("/"),
        endpoint=_read_endpoint(options.get("endpoint", ""), trusted=_read_yes(options, "plain_http")),
        region=options.get("region", ""),
        path_style=_read_yes(options, "path_style"),
    )


def _read_options(query: str) -> dict[str, str]:
    """Read what follows the question mark. Raises: ValueError for what is not known, without its value."""
    options = dict(parse_qsl(query, keep_blank_values=True))
    if set(options) - set(OPTIONS):
        raise ValueError(f"behind the question mark it takes {', '.join(OPTIONS)} and nothing else")
    return options


def _read_yes(options: dict[str, str], name: str) -> bool:
    """Read a yes or no."""
    word = options.get(name, "").lower()
    if word not in _YES | _NO:
        raise ValueError(f"{name} takes yes or no")
    return word in _YES


def _read_endpoint(text: str, *, trusted: bool) -> str:
    """Read the server's address; in the clear only on this machine, or where somebody says that its network is safe."""
    if not text:
        return ""
    try:
        parts = urlsplit(text)
        sound = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        sound = False
    if not sound or "@" in parts.netloc or parts.query or parts.path not in ("", "/"):
        raise ValueError("endpoint takes https://host:port, without user, path or password")
    if parts.scheme == "http" and parts.hostname not in LOOPBACK and not trusted:
        raise ValueError(
            "endpoint=http://... would send every file in the clear. Use https, "
            "or add plain_http=yes if that network is closed to all others"
        )
    return text.rstrip("/")
