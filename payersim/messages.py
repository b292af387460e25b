"""What goes in and out: a call as any web server gives it, and a reply with the manner of its delivery."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

# whole: as usual · drip: a few bytes at a time · cut: half of the body, then a reset · reset: nothing, then a reset
Manner = Literal["whole", "drip", "cut", "reset"]


@dataclass(frozen=True, slots=True)
class Call:
    """One HTTP request. Header names are lower case."""

    method: str
    path: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    query: Mapping[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class Reply:
    """One HTTP answer. Units: `over_seconds` is how long a drip takes."""

    status: int = 200
    body: bytes = b""
    content_type: str = "application/json"
    headers: dict[str, str] = field(default_factory=dict)
    manner: Manner = "whole"
    over_seconds: float = 0.0

    def __post_init__(self) -> None:
        self.headers["X-Simulator"] = "1"


def json_reply(data: Any, status: int = 200, **headers: str) -> Reply:
    """Give a reply with a JSON body."""
    return Reply(status, json.dumps(data, separators=(",", ":")).encode(), headers=headers)


def error_reply(status: int, code: str, description: str) -> Reply:
    """Give a reply in the error shape of the claim inquiry API."""
    return json_reply({"errors": [{"code": code, "description": description}]}, status)
