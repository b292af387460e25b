"""The checker's part for bulk jobs: what stands in the table against the markers of the batches, by SQL."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import UUID

BULK_TABLES = {"contact_import": "rowmill_contact"}


def merged_rows(database: Any, job: Any, batches: list[Any], results: list[Any]) -> Iterator[str]:
    """Every batch is in the table whole or not at all, its counts are what it did, old values are kept for what it changed."""
    table = BULK_TABLES[job["kind"]]
    told = {
        row["batch_id"]: row
        for row in database.execute("SELECT * FROM rowmill_batchmerge WHERE job_id=?", (job["id"],))
    }
    begun = database.execute("SELECT * FROM rowmill_undo WHERE job_id=? AND what='undo'", (job["id"],)).fetchone()
    undone = begun is not None and begun["state"] == "DONE"
    part_undone = begun is not None and not undone
    later = "SELECT count(*) FROM rowmill_job WHERE org_id=? AND kind=? AND id>?"
    overwritten = _count(database, later, job["org_id"], job["kind"], job["id"])
    for batch in batches:
        inside = [r for r in results if batch["first_row"] <= r["row_number"] <= batch["last_row"]]
        where = f"merge: rows {batch['first_row']}..{batch['last_row']}"
        yield from _batch(batch, told.get(batch["id"]), inside, where)
        written = _count(
            database,
            f"SELECT count(*) FROM {table} WHERE import_job_id=? AND import_row BETWEEN ? AND ?",
            *(job["id"], batch["first_row"], batch["last_row"]),
        )
        marked = told[batch["id"]]["inserted"] + told[batch["id"]]["updated"] if batch["id"] in told else 0
        fits = written <= marked if part_undone else written == (0 if undone else marked)
        if not overwritten and not fits:
            yield f"{where} wrote {written}, the marker says {marked}, undone: {undone}"
    yield from _whole(database, job, table, list(told.values()), begun)


def _batch(batch: Any, told: Any, inside: list[Any], where: str) -> Iterator[str]:
    """The counters, the marker and the results of one batch agree."""
    rows = batch["last_row"] - batch["first_row"] + 1
    words = [r["outcome"] for r in inside]
    if told is None:
        if batch["state"] == "done" and words != ["failed"]:
            yield f"{where} are done without a marker"
        if batch["ok"] or batch["rejected"]:
            yield f"{where} count rows and have no marker"
        return
    if batch["state"] != "done":
        yield f"{where} have a marker and are {batch['state']}"
    if told["inserted"] + told["updated"] + told["unchanged"] + told["rejected"] != rows:
        yield f"{where} have a marker that does not add up"
    if (words.count("rejected"), words.count("ok")) != (told["rejected"], told["duplicates"]):
        yield f"{where} have results {words} that the marker does not know"
    if (batch["ok"], batch["rejected"], batch["failed"]) != (rows - told["rejected"], told["rejected"], 0):
        yield f"{where} have counters that are not the marker's"


def _whole(database: Any, job: Any, table: str, told: list[Any], undo: Any) -> Iterator[str]:
    """The job's rows in the table, its old values, its undo: what this has taken back is gone, and nothing else."""
    inserted, updated = (sum(one[word] for one in told) for word in ("inserted", "updated"))
    created = _count(database, f"SELECT count(*) FROM {table} WHERE created_job_id=?", job["id"])
    kept = _count(database, "SELECT count(*) FROM rowmill_oldrow WHERE job_id=?", job["id"])
    removed, restored = (undo["removed"], undo["restored"]) if undo is not None else (0, 0)
    if (created + removed, kept + restored) != (inserted, updated):
        yield f"merge: {created} created and {kept} old rows, {inserted} and {updated} told, {removed} and {restored} undone"
    if undo is not None:
        yield from _undo(database, job, undo, inserted + updated)
    twice = f"SELECT count(*) FROM (SELECT 1 AS x FROM {table} GROUP BY org_id, match_key HAVING count(*) > 1) AS t"
    if _count(database, twice):
        yield "merge: one thing stands twice in the table"


def _undo(database: Any, job: Any, undo: Any, rows: int) -> Iterator[str]:
    """Its marker says what it did; the trail has its beginning and, once it is done, its end."""
    ended = undo["state"] == "DONE"
    if undo["rows_done"] != undo["removed"] + undo["restored"] + undo["kept"] or undo["rows_done"] > rows:
        yield "undo: its marker does not add up"
    if ended and undo["rows_done"] != rows:
        yield f"undo: done with {undo['rows_done']} of {rows} rows"
    for verb, times in (("job.undo", 1), ("job.undone", int(ended))):
        sql = "SELECT count(*) FROM rowmill_auditevent WHERE verb=? AND target_id IN (?, ?)"
        name = str(job["public_id"])
        if _count(database, sql, verb, name, str(UUID(name))) != times:
            yield f"history: the trail and the record differ about {verb}"


def _count(database: Any, sql: str, *values: Any) -> int:
    return int(database.execute(sql, values).fetchone()[0])
