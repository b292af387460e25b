"""How a table stands, in words and numbers: what the page shows and the API answers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from statistics import median
from typing import Any

from rowmill.cohorts.intake import KIND, LARGE, LARGE_BYTES, MENDABLE
from rowmill.models import WORKING_STATES, Precheck, SubmissionTable, TableState, Upload, UploadState
from rowmill.orgs import Caller, own
from rowmill.tabular.known_ids import UnknownId, say_cause

STAGES = (TableState.UPLOADING, TableState.CONVERTING, TableState.EXTRACTING, TableState.VALIDATING)
SHOWN_EXAMPLES = 3
COUNTED_FILES = 1000


@dataclass(frozen=True, slots=True)
class CauseLine:
    """One cause of unknown IDs: how many have it, in words, whether a mend clears it, and a few before and after."""

    cause: str
    count: int
    words: str
    mendable: bool
    examples: tuple[UnknownId, ...] = ()


def is_working(table: SubmissionTable) -> bool:
    """Tell whether a file of the table is on its way."""
    return table.state in WORKING_STATES


def list_stages(table: SubmissionTable) -> list[tuple[str, str]]:
    """Give the four stages with where each stands. Shape: (its word, "done" | "now" | "todo" | "stopped")."""
    if table.state == TableState.EMPTY:
        return [(stage.label, "todo") for stage in STAGES]
    if table.state in (TableState.STORING, TableState.READY):
        return [(stage.label, "done") for stage in STAGES]
    at = STAGES.index(TableState(table.state)) if table.state in STAGES else _stopped_at(table)
    mark = "now" if is_working(table) else "stopped"
    return [
        (stage.label, "done" if place < at else mark if place == at else "todo") for place, stage in enumerate(STAGES)
    ]


def _stopped_at(table: SubmissionTable) -> int:
    """Give the stage at which a refused file was stopped."""
    return STAGES.index(TableState.VALIDATING if table.code == "unknown_ids" else TableState.CONVERTING)


def list_causes(table: SubmissionTable, unknown: list[UnknownId] | None = None) -> list[CauseLine]:
    """Give the causes of a table's unknown IDs, what can be mended first, then the most frequent."""
    lines = [
        CauseLine(cause, count, say_cause(cause, count), cause in MENDABLE, tuple(_examples(unknown or [], cause)))
        for cause, count in table.causes.items()
    ]
    return sorted(lines, key=lambda line: (not line.mendable, -line.count))


def _examples(unknown: list[UnknownId], cause: str) -> Iterator[UnknownId]:
    """Give the first few IDs of a cause."""
    found = [one for one in unknown if one.cause == cause]
    yield from found[:SHOWN_EXAMPLES]


def find_warning(table: SubmissionTable) -> str:
    """Give the warning of a large file, and of a table that was compared with an earlier patient file."""
    upload = table.upload
    if upload is not None and upload.size_bytes > LARGE_BYTES:
        return LARGE
    if not table.is_patient_table and table.accepted is not None:
        patients = table.submission.tables.filter(is_patient_table=True).first()
        if patients is not None and patients.accepted_id != table.checked_against_id:
            if is_working(table):
                return "The patient file was replaced. What is in use is checked anew against it."
            return "The patient file was replaced after this table was checked. Send the table again to check it anew."
    return ""


def describe_table(table: SubmissionTable) -> dict[str, Any]:
    """Give a table's state as JSON types, without any ID of a patient."""
    upload = table.upload
    return {
        "submission": str(table.submission.public_id),
        "table": table.name,
        "is_patient_table": table.is_patient_table,
        "state": table.state,
        "final": not is_working(table),
        "stages": [{"stage": word, "state": state} for word, state in list_stages(table)],
        "upload_id": str(upload.public_id) if upload else None,
        "row_count": table.row_count,
        "id_count": table.id_count,
        "unknown_count": table.unknown_count,
        "unknown_rows": table.unknown_rows,
        "causes": [
            {"cause": line.cause, "count": line.count, "message": line.words, "mendable": line.mendable}
            for line in list_causes(table)
        ],
        "code": table.code,
        "message": table.message,
        "precheck": "/precheck-validation" if table.code == "malformed" else None,
        "warning": find_warning(table),
        "seconds": table.seconds,
        "accepted": _accepted(table),
    }


def _accepted(table: SubmissionTable) -> dict[str, Any] | None:
    """Give what is told of the file in use."""
    if table.accepted is None:
        return None
    return {
        "upload_id": str(table.accepted.public_id),
        "rows": table.accepted_rows,
        "ids": table.accepted_ids,
        "at": table.accepted_at.isoformat() if table.accepted_at else None,
        "database_bytes": table.files.get("database", {}).get("size_bytes"),
    }


def count_files(caller: Caller) -> dict[str, Any]:
    """Count the org's last cohort files: how many passed the fast path, were refused, needed a precheck, and how long it took.

    Cost: reads the last COUNTED_FILES uploads of the kind.
    """
    judged = own(caller, Upload).filter(kind=KIND, state__in=[UploadState.READY, UploadState.REJECTED])
    last = list(judged.order_by("-id").values_list("pk", "state", "inspection__seconds")[:COUNTED_FILES])
    accepted = sum(state == UploadState.READY for _, state, _ in last)
    times = [float(seconds) for _, _, seconds in last if seconds]
    prechecked = own(caller, Precheck).filter(upload__kind=KIND).values("upload").distinct().count()
    return {
        "files": len(last),
        "accepted": accepted,
        "refused": len(last) - accepted,
        "prechecked": prechecked,
        "accepted_percent": round(100 * accepted / len(last), 1) if last else None,
        "median_seconds": round(median(times), 2) if times else None,
    }
