"""Beside the batches: threads of the runner make the workbooks asked for, one at a time in each process.

The rows are gathered here and written by the limited child, so that no page waits for the minutes that this takes.
"""

from __future__ import annotations

import csv
import re
import shutil
import threading
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import structlog
from django.conf import settings
from django.db import DatabaseError
from django.db.models.functions import Now
from django.utils import timezone

from rowmill.errors import ChildError, LostLease, NotFound, RowmillError, StorageFault
from rowmill.faults import fault_point
from rowmill.jobs.exports import LEASE, claim_due_export, mine_of, put_export_off, read_asked
from rowmill.jobs.hold import free_connection
from rowmill.jobs.progress import list_account
from rowmill.jobs.results import iter_results
from rowmill.jobs.run import is_database_away
from rowmill.models import Export, ExportState
from rowmill.orgs import Caller, find_caller
from rowmill.registry import get_kind
from rowmill.tabular.child import run_in_child
from rowmill.uploads.places import get_storage, hash_file
from rowmill.uploads.rules import make_scratch

log = structlog.get_logger("rowmill.jobs")
MOST_ATTEMPTS = 3
AGAIN_SECONDS = 10.0
TELL_SECONDS = 1.0
MOST_SECONDS = 4 * 3600.0
_at_it = threading.BoundedSemaphore(1)
_held: dict[int, Export] = {}


def export_due() -> bool:
    """Make one workbook that waits for it. Gives False where none is due, or another thread is at one."""
    if not _at_it.acquire(blocking=False):
        return False
    try:
        export = claim_due_export()
        if export is None:
            return False
        _held[export.pk] = export
        try:
            _make(export)
        finally:
            del _held[export.pk]
        return True
    finally:
        _at_it.release()


def give_back_exports() -> None:
    """Let others make what this process, which ends, is at. What it may still write is refused then."""
    for export in list(_held.values()):
        put_export_off(export)


def _make(export: Export) -> None:
    """Make it; what goes wrong costs an attempt, unless the database or the storage is away."""
    try:
        if export.attempts > MOST_ATTEMPTS:
            _fail(export, f"The process that makes this workbook stopped {MOST_ATTEMPTS} times. Ask for CSV instead.")
            return
        run_export(export)
    except LostLease:
        return
    except StorageFault as fault:
        log.warning("workbook waits for the storage", export_id=str(export.public_id), cause=str(fault))
        put_export_off(export, AGAIN_SECONDS)
    except ChildError as error:
        log.warning("workbook stumbled", export_id=str(export.public_id), error_type=type(error).__name__)
        put_export_off(export, AGAIN_SECONDS, attempt_spent=True)
    except RowmillError as error:
        with suppress(LostLease):
            _fail(export, str(error))
    except Exception as error:
        log.warning("workbook stumbled", export_id=str(export.public_id), exc_info=error)
        free_connection()
        with suppress(DatabaseError):  # else its lease runs out
            put_export_off(export, AGAIN_SECONDS, attempt_spent=not is_database_away(error))


def run_export(export: Export) -> None:
    """Gather the rows, have the workbook written, keep it. Again: yes, by whoever claims it.

    Raises: LostLease where it is not wanted any more or another took it over, and whatever went wrong; no file stays then.
    """
    _write(export, begun_at=timezone.now())
    scratch = make_scratch()
    try:
        told = _gather(export, _find_caller(export), scratch / "rows.csv")
        fault_point("export_gathered")
        rows = told.pop("rows")

        def tell(report: dict[str, Any]) -> None:
            _write(export, rows_done=min(int(report["rows"]), rows), lease_until=Now() + LEASE)

        out = scratch / "out.xlsx"
        limit = settings.ROWMILL_INSPECT_MEMORY_BYTES
        request = {**told, "path": str(scratch / "rows.csv"), "out": str(out)}
        run_in_child("workbook", request, beside=scratch, memory_bytes=limit, seconds=MOST_SECONDS, on_told=tell)
        fault_point("export_written")
        _keep(export, out, rows)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _find_caller(export: Export) -> Caller:
    """Give who asked. Raises: NotFound where they have left meanwhile: nobody may take it home for them."""
    if export.asked_by is None:
        raise NotFound("Whoever asked for this workbook is not there any more.")
    return find_caller(export.asked_by, export.org.public_id)


def _gather(export: Export, caller: Caller, path: Path) -> dict[str, Any]:
    """Write the rows aside. Shape: what the child has to know of them, and how many `rows` there are."""
    asked = read_asked(export)
    if export.job is not None:
        header, lines = iter_results(export.job, asked.get("outcomes"))
        account = list_account(export.job)
        return {"sheet": "Results", "account": account, "rows": _write_lines(export, path, header, lines)}
    kind: Any = get_kind(export.kind)
    header, lines = kind.export_lines(caller, asked)
    return {"sheet": _name_sheet(kind.label), "account": [], "rows": _write_lines(export, path, header, lines)}


def _name_sheet(label: str) -> str:
    """Name a sheet as a workbook allows it, with room for a number behind it."""
    return re.sub(r"[\[\]:*?/\\\x00-\x1f]", " ", label)[:25].strip(" '") or "Rows"


def _write_lines(export: Export, path: Path, header: Sequence[str], lines: Iterable[Sequence[str]]) -> int:
    """Write a header and lines as CSV, and tell how far it is. Gives how many. Raises: LostLease."""
    count, due = 0, time.monotonic() + TELL_SECONDS
    with path.open("x", encoding="utf-8", errors="surrogatepass", newline="") as file:
        path.chmod(0o600)
        writer = csv.writer(file)
        writer.writerow(header)
        for line in lines:
            writer.writerow(line)
            count += 1
            if count % 1000 == 0 and time.monotonic() >= due:
                _write(export, rows=count, lease_until=Now() + LEASE)
                due = time.monotonic() + TELL_SECONDS
    _write(export, rows=count, begun_at=timezone.now(), lease_until=Now() + LEASE)
    return count


def _keep(export: Export, out: Path, rows: int) -> None:
    """Put the workbook into the storage under a key of this run's own, then say so. Raises: LostLease, StorageFault."""
    key = f"org/{export.org_id}/exports/{export.public_id}-{export.claims}.xlsx"
    told = {"size_bytes": out.stat().st_size, "sha256": hash_file(out), "key": key}
    _write(export, lease_until=Now() + LEASE + timedelta(minutes=10))  # a bucket may be far away
    storage = get_storage()
    storage.put_file(key, out)
    fault_point("export_stored")
    try:
        _write(export, state=ExportState.DONE, rows_done=rows, done_at=timezone.now(), lease_until=None, **told)
    except LostLease:
        storage.delete(key)
        raise
    log.info("workbook made", export_id=str(export.public_id), rows=rows, bytes=told["size_bytes"])


def _write(export: Export, **fields: Any) -> None:
    """Write down what is known by now. Raises: LostLease."""
    if not mine_of(export).update(**fields):
        raise LostLease


def _fail(export: Export, words: str) -> None:
    """End it without a workbook. Raises: LostLease."""
    _write(export, state=ExportState.FAILED, lease_until=None, error=words[:300], done_at=timezone.now())
