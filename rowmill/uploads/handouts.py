"""Beside the flow: what a judged file gives to those who may see it: the lines around a place, its failed rows, its notes.

All of it is read live, in the limited child, from the original; nothing is kept of it, and the trail notes each look.
"""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from django.conf import settings
from django.utils import timezone

from rowmill import audit
from rowmill.errors import Expired, NotFound, ObjectChanged, StateError
from rowmill.models import Upload, UploadState
from rowmill.orgs import Caller
from rowmill.tabular.child import run_in_child
from rowmill.uploads.places import hold_original
from rowmill.uploads.rules import child_limits, make_scratch, rules_of_upload

MOST_READERS = 2  # of one process at once: each is a child with a memory limit of its own
PATIENCE_SECONDS = 20.0
JUDGED = (UploadState.READY, UploadState.REJECTED)
FAILED_ROWS, ANNOTATED = "failed_rows", "annotate"
_reading = threading.BoundedSemaphore(MOST_READERS)


def has_bytes(upload: Upload) -> bool:
    """Tell whether a file was judged and its bytes are still there."""
    over = upload.purge_after is not None and upload.purge_after <= timezone.now()
    return upload.state in JUDGED and upload.purged_at is None and not over and bool(upload.sha256)


def need_bytes(upload: Upload) -> None:
    """Raises: StateError while a file is not judged; Expired where its bytes are gone."""
    if upload.state not in JUDGED:
        raise StateError("This file is not judged yet. Ask again when it is.")
    if not has_bytes(upload):
        raise Expired("The bytes of this file are gone: its time was over. Send the file again.")


def look_around(caller: Caller, upload: Upload, place: Mapping[str, int]) -> dict[str, Any]:
    """Read the lines around a place: `byte`, `line`, or `stretch` of the map.

    Shape: `lines`, each {"line", "parts": [[text, kind]]} as tabular.excerpt tells them.
    Raises: StateError, Expired, ChildError, StorageFault.
    """
    dialect = upload.inspection.get("dialect") or {}
    found = _read(upload, "excerpt", {"encoding": dialect.get("encoding", "utf-8"), **_place_to_seek(upload, place)})
    audit.record(upload.org, caller.user, "upload.look", "upload", upload.public_id, **_first_line(found))
    return found


def _place_to_seek(upload: Upload, place: Mapping[str, int]) -> dict[str, Any]:
    """Turn a place into what can be sought in the file: a stretch into its first trouble, a line into one with a mark near it."""
    known, seek = upload.inspection, dict[str, Any](place)
    if "stretch" in seek:
        stretch, count = seek.pop("stretch"), len(known.get("damage") or "") or 1
        told = next((one for one in known.get("places") or () if one[0] == stretch), None)
        if told is None:
            return {"byte": upload.size_bytes * min(stretch, count) // count}
        seek = {"line": told[1]} | ({} if told[2] is None else {"byte": told[2]})
    if "byte" not in seek and "line" in seek:
        seek["near"] = max((one for one in known.get("marks") or () if one[0] <= seek["line"]), default=None)
    return seek


def _first_line(found: Mapping[str, Any]) -> dict[str, int]:
    """Give which lines were shown."""
    lines = [line["line"] for line in found["lines"] if line["line"]]
    return {"first_line": lines[0], "last_line": lines[-1]} if lines else {}


def read_examples(caller: Caller, upload: Upload) -> list[dict[str, Any]]:
    """Read real cells behind the causes, as they are and as the mend would make them.

    Raises: StateError, Expired, ChildError, StorageFault.
    """
    found = _read(upload, "examples", {"causes": upload.inspection.get("causes", [])})
    audit.record(upload.org, caller.user, "upload.look", "upload", upload.public_id, part="examples")
    return list(found["examples"])


def make_handout(caller: Caller, upload: Upload, op: str, name: str) -> BinaryIO:
    """Make a file of a judged one: FAILED_ROWS or ANNOTATED. It has no name on the disk: it goes when it is closed.

    Raises: StateError, Expired, ChildError, OutOfSpace, StorageFault.
    """
    scratch = make_scratch()
    try:
        out = scratch / "out"
        _read(upload, op, {"out": str(out)}, beside=scratch)
        handout = out.open("rb")
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    audit.record(upload.org, caller.user, "upload.download", "upload", upload.public_id, part=name)
    return handout


def _read(upload: Upload, op: str, request: Mapping[str, Any], beside: Path | None = None) -> dict[str, Any]:
    """Run one of the child's operations on the original."""
    need_bytes(upload)
    rules = rules_of_upload(upload).to_json()
    settings.SCRATCH_DIR.mkdir(parents=True, exist_ok=True, mode=0o700)
    with _turn(), _held(upload) as path:
        return run_in_child(
            op,
            {"rules": rules, **request, "path": str(path.resolve())},
            beside=beside or settings.SCRATCH_DIR,
            **child_limits(),
        )


def open_mended(caller: Caller, upload: Upload) -> BinaryIO:
    """Open the bytes of a mended copy, to be taken home. Raises: NotFound for what is no copy; StateError, Expired."""
    if not upload.mends:
        raise NotFound("This file is no mended copy.")
    need_bytes(upload)
    with _held(upload) as path:
        file = path.open("rb")
    audit.record(upload.org, caller.user, "upload.download", "upload", upload.public_id, part="mended.csv")
    return file


@contextmanager
def _turn() -> Iterator[None]:
    """Let so many read at once as there is memory for. Raises: StateError where it takes too long."""
    if not _reading.acquire(timeout=PATIENCE_SECONDS):
        raise StateError("Other files are being read just now. Ask again in a moment.", code="in_progress")
    try:
        yield
    finally:
        _reading.release()


@contextmanager
def _held(upload: Upload) -> Iterator[Path]:
    """Hold the original. Raises: Expired where it was purged just now."""
    try:
        with hold_original(upload) as path:
            yield path
    except (FileNotFoundError, ObjectChanged):
        raise Expired("The bytes of this file are gone: its time was over. Send the file again.") from None
