"""Hands out the contacts that were found, of any number: CSV at once, a workbook at once while it is small, else by and by."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import IO, Any

from django.conf import settings

from rowmill import audit
from rowmill.contacts.browse import Ask, find_contacts, iter_contacts
from rowmill.contacts.showing import FIELD_NAMES, RANGES, make_writer
from rowmill.jobs.exports import DIRECT_ROWS, request_export
from rowmill.models import Export
from rowmill.orgs import Caller
from rowmill.tables.counting import count_rows
from rowmill.tabular.writers import write_csv, write_xlsx

EXPORTS = ("csv", "xlsx")
ALL_COLUMNS = (*FIELD_NAMES, "extra")
KIND = "contact_import"


def export_csv(caller: Caller, ask: Ask, columns: Sequence[str], *, bom: bool) -> Iterator[bytes]:
    """Give a CSV file block by block, oldest first. The header has the fields' names, which an import maps by itself.

    A contact that is there throughout comes once; what comes and goes meanwhile may be in or not. Cells that a
    spreadsheet would run get an apostrophe. Cost: memory stays flat; no transaction stays open between the blocks.
    """
    _note(caller, ask, "csv", columns)
    return write_csv(columns, _lines(caller, ask, columns), safe=True, bom=bom)


def take_xlsx(caller: Caller, ask: Ask, columns: Sequence[str]) -> IO[bytes] | Export:
    """Give a workbook of up to 10,000 contacts at once; above that have one of any number made in the background.

    Raises: OutOfSpace; StateError too_many where the org keeps enough of those.
    """
    many = find_contacts(caller, ask).order_by().values("id")[: DIRECT_ROWS + 1].count() > DIRECT_ROWS
    _note(caller, ask, "xlsx", columns)
    if many:
        return request_export(caller, KIND, {"ask": asdict(ask), "columns": list(columns)})
    return _write_xlsx(caller, ask, columns)


def read_lines(caller: Caller, asked: Mapping[str, Any]) -> tuple[Sequence[str], Iterator[Sequence[str]]]:
    """Give what a workbook made in the background was asked for. Shape: (the header, a line for each contact)."""
    columns = tuple(str(name) for name in asked["columns"])
    return columns, _lines(caller, Ask(**asked["ask"]), columns)


def _write_xlsx(caller: Caller, ask: Ask, columns: Sequence[str]) -> IO[bytes]:
    """Write a workbook in the scratch folder; it goes when it is closed."""
    settings.SCRATCH_DIR.mkdir(parents=True, exist_ok=True, mode=0o700)
    out = tempfile.TemporaryFile(prefix="results-", dir=settings.SCRATCH_DIR)  # noqa: SIM115 - the response closes it
    try:
        write_xlsx(columns, _lines(caller, ask, columns), out, sheet="Contacts")
        out.seek(0)
    except BaseException:
        out.close()
        raise
    return out


def _lines(caller: Caller, ask: Ask, columns: Sequence[str]) -> Iterator[list[str]]:
    """Give each contact as a line of cells."""
    read = sorted({*columns, *(RANGES[name] for name in columns if name in RANGES)})
    yield from map(make_writer(columns, read), iter_contacts(caller, ask, read))


def _note(caller: Caller, ask: Ask, export: str, columns: Sequence[str]) -> None:
    """Put into the trail who took how many."""
    total = count_rows(find_contacts(caller, ask), guessed=bool(ask.search))
    audit.record(
        caller.org, caller.user, "contacts.export", "contacts", "list",
        export=export, narrowed=ask.narrowed, columns=len(columns), rows=total.number, rows_are=total.word,
    )  # fmt: skip
