"""The checker: reliability.md §8 by SQL on the database and by the bytes on disk; it shares no code with the engine."""

from __future__ import annotations

import csv
import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

from tests.crash.database import file_troubles, open_read_only
from tests.crash.merged_checks import BULK_TABLES, merged_rows

__all__ = ["Acknowledged", "find_violations", "open_read_only"]
OUTCOMES = ("ok", "not_found", "rejected", "failed")
FINAL = ("COMPLETED", "FAILED", "CANCELLED")


@dataclass(frozen=True)
class Acknowledged:
    """A job that a client was told of: what it sent, and what it must find."""

    job: str
    sha256: str = ""
    rows: int | None = None
    key: str | None = None


def find_violations(
    data_dir: Path,
    acknowledged: Iterable[Acknowledged] = (),
    *,
    at_rest: bool = True,
    started: bool = True,
    storage: Path | None = None,
) -> list[str]:
    """Name every broken invariant; an empty list is what must be.

    `at_rest`: everything has run out, so that nothing may be live. `started`: Rowmill was started since the last crash,
    so that nothing half-written may lie about. `storage`: where the objects lie, if not in the data directory.
    """
    database = open_read_only(data_dir)
    try:
        found = list(_database(database))
        for job in database.execute("SELECT * FROM rowmill_job ORDER BY id"):
            found += [f"job {job['id']}: {words}" for words in _job(database, job, at_rest)]
        found += _keys(database, acknowledged, at_rest)
        found += _uploads(database, storage or data_dir / "storage", at_rest, started)
        found += _scratch(data_dir) if started else []
    finally:
        database.close()
    return found


def _database(database: Any) -> Iterator[str]:
    """The file itself is sound, and nothing crosses from one org to another."""
    yield from file_troubles(database)
    for table in ("rowmill_batch", "rowmill_result"):
        crossing = f"SELECT count(*) FROM {table} t JOIN rowmill_job j ON j.id = t.job_id WHERE t.org_id <> j.org_id"
        if database.execute(crossing).fetchone()[0]:
            yield f"crossing: {table} holds rows of another org's job"
    if database.execute(
        "SELECT count(*) FROM rowmill_job j JOIN rowmill_upload u ON u.id = j.upload_id WHERE u.org_id <> j.org_id"
    ).fetchone()[0]:
        yield "crossing: a job works on another org's upload"


def _job(database: Any, job: Any, at_rest: bool) -> Iterator[str]:
    """Every row accounted for once; marker and effect agree; cancel is final; nothing in limbo."""
    batches = database.execute("SELECT * FROM rowmill_batch WHERE job_id=? ORDER BY first_row", (job["id"],)).fetchall()
    results = database.execute(
        "SELECT row_number, outcome, claims, written_at FROM rowmill_result WHERE job_id=? ORDER BY row_number",
        (job["id"],),
    ).fetchall()
    yield from _history(database, job)
    states = {batch["state"] for batch in batches}
    if job["state"] == "COMPLETED" and states - {"done"}:
        yield f"marker: it is COMPLETED and has batches that are {sorted(states - {'done'})}"
    if job["state"] == "FAILED" and "failed" not in states:
        yield "marker: it is FAILED and none of its batches is"
    if at_rest and job["state"] not in FINAL:
        yield f"limbo: it is still {job['state']}"
    if job["deleted_at"] is not None:
        if results:
            yield "deleted, and yet it has results"
        return
    yield from _rows(job, batches, results)
    if job["kind"] in BULK_TABLES:
        yield from merged_rows(database, job, batches, results)
    for batch in batches:
        yield from _batch(
            job, batch, [r for r in results if batch["first_row"] <= r["row_number"] <= batch["last_row"]]
        )
    yield from _times(job, results)


def _rows(job: Any, batches: list[Any], results: list[Any]) -> Iterator[str]:
    """The batches cover rows 1..total without gap or overlap; no row has two results; a finished job has them all."""
    expected = 1
    for batch in batches:
        if batch["first_row"] != expected:
            yield f"ranges: a batch begins at row {batch['first_row']}, not {expected}"
        expected = batch["last_row"] + 1
    if expected != job["total_rows"] + 1:
        yield f"ranges: the batches end at row {expected - 1} of {job['total_rows']}"
    numbers = Counter(result["row_number"] for result in results)
    if any(count > 1 for count in numbers.values()):
        yield "twice: a row has two results"
    if any(not 1 <= number <= job["total_rows"] for number in numbers):
        yield "stray: a result of a row that is not"
    if job["kind"] in BULK_TABLES:  # there a row that went well has no result
        return
    if job["state"] == "COMPLETED" and len(numbers) != job["total_rows"]:
        yield f"lost: {len(numbers)} results of {job['total_rows']} rows in a completed job"


def _batch(job: Any, batch: Any, inside: list[Any]) -> Iterator[str]:
    """Counters say what the results say; done means that all rows are there; only a claim that was has written."""
    where = f"rows {batch['first_row']}..{batch['last_row']}"
    real = [sum(1 for r in inside if r["outcome"] == word) for word in OUTCOMES]
    by_row = job["kind"] not in BULK_TABLES
    if by_row and real != [batch[word] for word in OUTCOMES]:
        yield f"counters: {where} count {[batch[w] for w in OUTCOMES]}, the results say {real}"
    if by_row and batch["state"] == "done" and len(inside) != batch["last_row"] - batch["first_row"] + 1:
        yield f"marker: {where} are done with {len(inside)} results"
    if any(r["claims"] > batch["claims"] or r["claims"] < 1 for r in inside):
        yield f"fence: a result in {where} was written under a claim that never was"
    if job["state"] in FINAL and batch["state"] in ("waiting", "running"):
        yield f"limbo: {where} are {batch['state']} in a job that is {job['state']}"
    if batch["state"] == "running" and not (batch["owner"] and batch["lease_until"]):
        yield f"limbo: {where} run without owner or lease"
    if batch["state"] != "running" and (batch["owner"] or batch["lease_until"]):
        yield f"limbo: {where} are {batch['state']} and still have an owner or a lease"


def _times(job: Any, results: list[Any]) -> Iterator[str]:
    """Nothing was written after the cancel's commit, nor after the end."""
    last = max((r["written_at"] for r in results), default="")
    if job["cancelled_at"] is not None and last > job["cancelled_at"]:
        yield "cancel: a result was written after the cancel"
    if job["state"] in FINAL and (job["completed_at"] is None or last > job["completed_at"]):
        yield "end: a result was written after the job's end"
    if (job["state"] in ("CANCELLING", "CANCELLED")) != (job["cancelled_at"] is not None):
        yield f"cancel: {job['state']} and cancelled_at do not fit"


def _history(database: Any, job: Any) -> Iterator[str]:
    """The trail tells one legal history: one submit, one retry for each retry, one end for each time it ran out."""
    told = Counter(
        row[0]
        for row in database.execute(
            "SELECT verb FROM rowmill_auditevent WHERE target_type='job' AND target_id=?",
            (str(UUID(job["public_id"])),),
        )
    )
    ends = sum(told[f"job.{state.lower()}"] for state in FINAL)
    if told["job.submit"] != 1:
        yield f"history: submitted {told['job.submit']} times"
    if told["job.retry"] != job["retries"]:
        yield f"history: {job['retries']} retries, {told['job.retry']} in the trail"
    if ends != job["retries"] + (job["state"] in FINAL):
        yield f"history: ended {ends} times after {job['retries']} retries, now {job['state']}"
    if told["job.cancel"] < told["job.cancelled"]:
        yield "history: cancelled without anybody asking"
    if told["job.delete"] != (job["deleted_at"] is not None):
        yield "history: the trail and the record differ about its deletion"


def _keys(database: Any, acknowledged: Iterable[Acknowledged], at_rest: bool) -> Iterator[str]:
    """What was acknowledged is there; one Idempotency-Key made one job, and that is the one told."""
    jobs = {
        str(UUID(row["public_id"])): row
        for row in database.execute(
            "SELECT j.public_id, j.total_rows, u.sha256 FROM rowmill_job j JOIN rowmill_upload u ON u.id = j.upload_id"
        )
    }
    keys = {
        row["key"]: str(UUID(row["public_id"])) if row["public_id"] else None
        for row in database.execute(
            "SELECT k.key, j.public_id FROM rowmill_idempotencykey k LEFT JOIN rowmill_job j ON j.id = k.job_id"
        )
    }
    for ack in acknowledged:
        job = jobs.get(ack.job)
        if job is None:
            yield f"acknowledged: job {ack.job} is gone"
            continue
        if ack.rows is not None and job["total_rows"] != ack.rows:
            yield f"acknowledged: job {ack.job} has {job['total_rows']} rows, {ack.rows} were sent"
        if ack.sha256 and job["sha256"] != ack.sha256:
            yield f"acknowledged: job {ack.job} is over other bytes"
        if ack.key and keys.get(ack.key) != ack.job:
            yield f"key: an Idempotency-Key gave job {ack.job} and now leads elsewhere"
    if at_rest and None in keys.values():
        yield "key: an Idempotency-Key is still under way"


def _uploads(database: Any, storage: Path, at_rest: bool, started: bool) -> Iterator[str]:
    """Bytes are what was sent; every object has its upload and every upload its objects."""
    wanted: set[str] = set()
    for upload in database.execute("SELECT * FROM rowmill_upload ORDER BY id"):
        folder = f"org/{upload['org_id']}/uploads/{UUID(upload['public_id'])}"
        has_job = database.execute("SELECT count(*) FROM rowmill_job WHERE upload_id=?", (upload["id"],)).fetchone()[0]
        live = database.execute(
            "SELECT count(*) FROM rowmill_job WHERE upload_id=? AND deleted_at IS NULL", (upload["id"],)
        ).fetchone()[0]
        if at_rest and upload["state"] in ("RECEIVING", "CHECKING"):
            yield f"limbo: upload {upload['id']} is still {upload['state']}"
        if at_rest and upload["state"] == "READY" and upload["intent"] is not None and not has_job:
            yield f"limbo: upload {upload['id']} was sent for a job and has none"
        if upload["purged_at"] is not None:
            if live:
                yield f"bytes: upload {upload['id']} was purged under a job that needs it"
            continue
        if at_rest and (upload["state"] == "ABORTED" or (has_job and not live)):
            yield f"bytes: upload {upload['id']} ({upload['state']}) is not purged"
        wanted |= {f"{folder}/original"} | _derived(database, upload, folder)
        yield from _bytes(upload, storage / folder / "original")
    if not started:
        return
    there = {p.relative_to(storage).as_posix() for p in storage.rglob("*") if p.is_file()} - {"installation"}
    yield from (f"orphan: {_short(key)} belongs to no live upload" for key in sorted(there - wanted))
    yield from (f"lost: {_short(key)} is not there" for key in sorted(wanted - there) if at_rest)


def _scratch(data_dir: Path) -> Iterator[str]:
    """Nothing half-written is left on this machine."""
    left = [p for p in (data_dir / "scratch").rglob("*") if p.is_file()]
    yield from (f"orphan: {path.name} was left in scratch" for path in left)


def _derived(database: Any, upload: Any, folder: str) -> set[str]:
    """Give the keys of what was made of an upload: its columnar copy, or what a cohort's table says is in use."""
    if upload["kind"] == "cohort_table":
        sql = "SELECT files FROM rowmill_submissiontable WHERE accepted_id=?"
        files = [row["files"] for row in database.execute(sql, (upload["id"],))]
        told = [found if isinstance(found, dict) else json.loads(found) for found in files]
        return {one["key"] for found in told for one in found.values()}
    return {_table_key(upload, folder)} if upload["state"] == "READY" else set()


def _table_key(upload: Any, folder: str) -> str:
    """Give the key of the columnar copy: in a bucket the one that was recorded."""
    facts = upload["inspection"] if isinstance(upload["inspection"], dict) else json.loads(upload["inspection"])
    return str(facts.get("table", {}).get("key") or f"{folder}/table.parquet")


def _bytes(upload: Any, original: Path) -> Iterator[str]:
    """The bytes hash to what was recorded, and an independent reader finds as many rows as were recorded."""
    if not upload["sha256"] or not original.is_file():
        return
    data = original.read_bytes()
    if hashlib.sha256(data).hexdigest() != upload["sha256"]:
        yield f"bytes: upload {upload['id']} does not hash to its sha256"
    if upload["state"] == "READY":
        rows = sum(1 for cells in csv.reader(data.decode("utf-8-sig").splitlines(keepends=True)) if cells) - 1
        if rows != upload["row_count"]:
            yield f"bytes: upload {upload['id']} has {rows} rows, {upload['row_count']} were recorded"


def _short(key: str) -> str:
    """Give the end of a key."""
    return "/".join(key.split("/")[-2:])
