"""Canaries: cells and answers that stand nowhere but in these tests, and where one looks for them."""

from __future__ import annotations

import io
import logging
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.test import Client

COLUMNS = (
    "claim_number",
    "first_name",
    "last_name",
    "date_of_birth",
    "subscriber_id",
    "first_service_date",
    "tin",
    "payer_id",
)
HEADER = (*COLUMNS, "patient_account_number", "clinic_note")
ROWS = 16
# What the rows come to: everything else is ok.
UNKNOWN_TIN, UNKNOWN_PAYER, BAD_DATE, BREAKS, KILLS = 3, 4, 5, 6, 7
MISMATCH, TWICE, MISSING, GARBAGE, TROUBLED = 8, 9, 10, 11, (12, 13, 14)


def canary_row(number: int) -> list[str]:
    """Give a row of which no cell is like anything else in the world."""
    n = f"{number:04d}"
    cells = [
        f"CNRYCLM{n}",
        f"Cnryfirst{'abcdefghijklmnopqrstuvwxyz'[number]}",
        f"Cnrylast{'abcdefghijklmnopqrstuvwxyz'[number]}",
        f"1903-07-{number:02d}",
        f"CNRYSUB{n}",
        f"2019-05-{number:02d}",
        "00-7654321" if number == UNKNOWN_TIN else "",
        "CNRYPAYER1" if number == UNKNOWN_PAYER else "",
        f"CNRYACC{n}",
        f"cnrynote{n}, and more",
    ]
    if number == BAD_DATE:
        cells[3] = "1903-13-47"
    return cells


def book_entry(number: int) -> dict[str, Any]:
    """Give what the payer knows of a row: the same person, and amounts and a check number that are canaries too."""
    cells = canary_row(number)
    claim = {
        "number": cells[0],
        "status": "Finalized",
        "parts": [["01", "F1", "65"]],
        "first": cells[1],
        "last": cells[2],
        "dob": f"07/{number:02d}/1903",
        "sub": cells[4],
        "from": f"05/{number:02d}/2019",
        "to": f"05/{number:02d}/2019",
        "charged": f"98765{number:02d}.11",
        "paid": f"87654{number:02d}.22",
        "allowed": f"76543{number:02d}.33",
        "check": f"CNRYCHK{number:04d}",
        "processed": f"08/{number:02d}/2019",
    }
    claims = [claim]
    if number == MISMATCH:
        claims = [{**claim, "first": "Cnrystranger", "last": "Cnryelsewhere", "dob": "01/02/1904", "sub": "CNRYSUBX"}]
    if number == TWICE:
        claims.append({**claim, "charged": "6543210.44", "from": "05/10/2019", "to": "05/11/2019"})
    if number == MISSING:
        claims = []
    trouble = {GARBAGE: "bad_json", 12: "html_error", 13: "graphql_errors", 14: "reset"}
    answer: dict[str, Any] = {"claims": claims}
    if number in trouble:
        answer |= {"behaviour": trouble[number]} | ({} if number == GARBAGE else {"times": 1})
    return {"claim_number": cells[0], "answer": answer}


def as_csv(rows: list[list[str]], header: tuple[str, ...] | None = HEADER) -> bytes:
    lines = [list(header)] if header else []
    return "".join(",".join(f'"{c}"' if "," in c else c for c in row) + "\n" for row in [*lines, *rows]).encode()


CLEAN = [canary_row(number) for number in range(1, ROWS + 1)]
CELLS = {cell for row in CLEAN for cell in row if cell}
ANSWERS = {"Cnrystranger", "Cnryelsewhere", "CNRYSUBX", "6543210.44"} | {
    str(record[key])
    for number in range(1, ROWS + 1)
    for record in book_entry(number)["answer"]["claims"]
    for key in ("dob", "charged", "paid", "allowed", "check", "processed")
}
SHORT = re.compile(r"\d{2}/\d{2}/\d{4}|\d{4}-\d{2}-\d{2}")
CANARIES = tuple(sorted(CELLS | ANSWERS, key=len, reverse=True))
ANY_CANARY = re.compile("|".join(re.escape(c) for c in CANARIES) + r"|cnry", re.IGNORECASE)


def canaries_in(text: str | bytes) -> set[str]:
    """Give the canaries that a text holds."""
    return set(ANY_CANARY.findall(text.decode("utf-8", "replace") if isinstance(text, bytes) else text))


class Ears:
    """Hears every log record twice: as it was made, and as the handler writes it."""

    def __init__(self) -> None:
        shipped = [h for h in logging.getLogger().handlers if type(h.formatter).__name__ == "ProcessorFormatter"]
        assert shipped, "Rowmill's own handler is not set up"
        self.stream = io.StringIO()
        self.handler = logging.StreamHandler(self.stream)
        self.handler.setFormatter(shipped[0].formatter)
        self.lines = self.stream.getvalue

    def records(self, caplog: pytest.LogCaptureFixture) -> list[str]:
        """Give what our own code handed to the log, before anything is filtered; an exception is there by its type."""
        said = []
        for record in caplog.get_records("call"):
            if record.name.startswith("rowmill"):
                fields = dict(record.msg) if isinstance(record.msg, dict) else {"text": record.getMessage()}
                fields.pop("exc_info", None)
                said.append(repr(fields))
        return said


class Browser:
    """A signed-in client that keeps what every answer said apart from its body."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.around: list[str] = []
        self.links: list[str] = []

    def __call__(self, method: str, path: str, data: Any = None, **headers: str) -> Any:
        response = getattr(self.client, method)(path, data, **({"headers": headers} if headers else {}))
        self.around.append(f"{path} {dict(response.headers)} {response.cookies}")
        response.whole = b"".join(response.streaming_content) if response.streaming else response.content
        text = response.whole.decode("utf-8", "replace")
        if "html" in response.headers.get("Content-Type", ""):
            self.links += re.findall(r"""\s(?:href|action|src|hx-[a-z-]+)=["']([^"']*)["']""", text)
            title = re.search(r"<title>(.*?)</title>", text, re.DOTALL)
            self.around.append(title[1] if title else "")
        return response

    def send(self, name: str, data: bytes) -> Any:
        return self("post", "/api/v1/claims/bulk/upload/", {"file": SimpleUploadedFile(name, data, "text/csv")})


def every_cell_of_the_database() -> Iterator[tuple[str, str | bytes]]:
    """Give each value of each column of each table."""
    with connection.cursor() as cursor:
        for table in connection.introspection.table_names(cursor):
            cursor.execute(f'SELECT * FROM "{table}"')
            names = [column[0] for column in cursor.description]
            for row in cursor.fetchall():
                for name, value in zip(names, row, strict=True):
                    if value is not None:
                        yield f"{table}.{name}", bytes(value) if isinstance(value, bytes | memoryview) else str(value)


def places_in_database() -> set[str]:
    return {place for place, value in every_cell_of_the_database() if canaries_in(value)}


def canaries_in_database_files() -> set[str]:
    """Look into the bytes of the database and its journals: free pages too."""
    base = Path(connection.settings_dict["NAME"])
    found: set[str] = set()
    for path in base.parent.glob(base.name + "*"):
        data = path.read_bytes()
        found |= {c for c in CANARIES if not SHORT.fullmatch(c) and c.encode() in data}
    return found


def temporary_places() -> dict[Path, float]:
    roots = [Path(tempfile.gettempdir()), django_settings.SCRATCH_DIR]
    return {p: p.stat().st_mtime for root in roots if root.exists() for p in root.glob("*") if p.name.startswith(NAMES)}


NAMES = ("rowmill-child", "rowmill-convert", "inspect-", "receive-", "results-")
