"""Beside the flow: makes a mended copy of an upload, a new upload that names its parent; the original stays as it was."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path, PurePath
from typing import Any

import structlog
from django.db import transaction
from django.utils import timezone

from rowmill import audit
from rowmill.contracts import Finding
from rowmill.doorbell import INTERACTIVE, ring
from rowmill.errors import ChildError, Expired, InputError, ObjectChanged, StateError
from rowmill.faults import fault_point
from rowmill.models import Upload, UploadState
from rowmill.orgs import Caller
from rowmill.tabular.child import run_in_child
from rowmill.tabular.mends import MENDS, WITHOUT_BROKEN_ROWS, Mend, get_mend
from rowmill.uploads.places import get_storage, hash_file, hold_original, need_room, original_key
from rowmill.uploads.rules import child_limits, make_scratch, rules_of_upload
from rowmill.uploads.sessions import need_quota

log = structlog.get_logger("rowmill.uploads")
JUDGED = (UploadState.READY, UploadState.REJECTED)
MOST_MENDS, MOST_SLUG_CHARS = 500, 400
_NAME_CHARS = 255


def mend_upload(caller: Caller, upload: Upload, mends: Sequence[str]) -> Upload:
    """Begin a mended copy of a file that was judged; its bytes are made, and judged, by the first worker that is free.

    Shape: a new upload, CHECKING, of the same kind and with the same intent, so that its job starts once it is READY.
    Raises: NotAllowed; InputError bad_mend; StateError while the file is not judged; Expired where its bytes are gone
    or about to go; QuotaExceeded, OutOfSpace. Again: the same mends give the same copy, for as long as its bytes are there.
    """
    caller.need_write()
    slugs = order_mends(mends)
    need_room()
    with transaction.atomic():
        parent = Upload.objects.select_for_update(no_key=True).get(pk=upload.pk, org=caller.org)
        _need_bytes(parent)
        made = find_copy(parent, slugs)
        if made is not None:
            return made
        need_quota(caller, parent.size_bytes)
        made = Upload.objects.create(
            org=caller.org,
            kind=parent.kind,
            name=mended_name(parent.name),
            state=UploadState.CHECKING,
            intent=_intent_of(parent),
            parent=parent,
            mends=slugs,
            lease_until=timezone.now() - timedelta(seconds=1),  # due at once
            created_by=caller.user,
        )
        words = ", ".join(dict.fromkeys(slug.partition(":")[0] for slug in slugs))
        told: dict[str, str | int] = {"copy": str(made.public_id), "mends": words, "count": len(slugs)}
        audit.record(caller.org, caller.user, "upload.mend", "upload", parent.public_id, **told)
    fault_point("mend_asked")
    ring(INTERACTIVE)
    return made


def order_mends(mends: Sequence[str]) -> list[str]:
    """Give the mends that are meant, each once and in the house's order. Raises: InputError bad_mend."""
    if not mends:
        raise InputError("Choose at least one mend.", code="bad_mend", field="mends")
    if len(mends) > MOST_MENDS:
        raise InputError(f"At most {MOST_MENDS} mends go into one copy.", code="bad_mend", field="mends")
    try:
        known = {_need_slug(slug) for slug in mends}
    except InputError:
        words = f"There is no such mend. They are: {', '.join(MENDS)}."
        raise InputError(words, code="bad_mend", field="mends") from None
    order = list(MENDS)
    return sorted(known, key=lambda slug: (order.index(slug.partition(":")[0]), slug))


def _need_slug(slug: str) -> str:
    """Give a mend's slug back. Raises: InputError for what is none, and for a column's name that no file has."""
    if len(slug) > MOST_SLUG_CHARS or "\0" in slug:
        raise InputError("There is no such mend.")
    return get_mend(slug).slug


def propose_mends(upload: Upload) -> list[Mend]:
    """Give the mends that the causes of a file propose, each once, and leaving out where something is broken."""
    slugs = [cause["mend"] for cause in upload.inspection.get("causes") or () if cause["mend"]]
    if (upload.inspection.get("balance") or {}).get("broken"):
        slugs.append(WITHOUT_BROKEN_ROWS)
    return [get_mend(slug) for slug in dict.fromkeys(slugs)]


def find_copy(parent: Upload, slugs: Sequence[str]) -> Upload | None:
    """Give the copy that these mends made of a file before, if its bytes are still there or on their way."""
    copies = parent.mended.filter(purged_at=None).exclude(state=UploadState.ABORTED).order_by("-id")
    return next((copy for copy in copies if copy.mends == list(slugs)), None)


def _need_bytes(parent: Upload) -> None:
    """Raises: StateError, Expired."""
    if parent.state not in JUDGED:
        raise StateError("This file is not judged yet, so it is not known what to mend. Ask again when it is.")
    over = parent.purge_after is not None and parent.purge_after <= timezone.now()
    if parent.purged_at is not None or over:
        raise Expired("The bytes of this file are gone: its time was over. Send the file again, then mend it.")


def _intent_of(parent: Upload) -> dict[str, Any] | None:
    """Give what job the copy is for; it is a plain table, so no sheet of it is named."""
    if parent.intent is None:
        return None
    return {name: value for name, value in parent.intent.items() if name != "sheet"}


def mended_name(name: str) -> str:
    """Name a copy after its original: claims.csv -> claims (mended).csv. It is written as CSV, whatever was sent."""
    stem = PurePath(name).stem or "upload"
    while PurePath(stem).suffix.lower() in (".csv", ".tsv", ".txt", ".xlsx", ".xlsm", ".xls"):
        stem = PurePath(stem).stem  # of claims.csv.gz
    tail = " (mended).csv"
    stem = stem if stem.endswith(" (mended)") else stem[: _NAME_CHARS - len(tail)] + " (mended)"
    return stem + ".csv"


# ------------------------------------------------------------------------------------------------ in the background


def needs_bytes(upload: Upload) -> bool:
    """Tell whether an upload is a mended copy whose bytes are not made yet."""
    return bool(upload.mends) and not upload.sha256


def make_bytes(upload: Upload) -> dict[str, Any] | Finding:
    """Make a mended copy's bytes of its parent's, and store them. Again: yes, the bytes are the same.

    Shape: what is to be recorded of it (size_bytes, sha256, inspection), or why it cannot be made.
    Raises: StorageFault, OutOfSpace.
    """
    parent = upload.parent
    if parent is None or parent.purged_at is not None:
        return _parent_gone()
    scratch = make_scratch()
    try:
        out = scratch / "mended.csv"
        report = _apply(upload, parent, out)
        if isinstance(report, Finding):
            return report
        fault_point("mended")
        learnt = {"size_bytes": out.stat().st_size, "sha256": hash_file(out), "inspection": {"mended": report}}
        get_storage().put_file(original_key(upload), out)
        fault_point("mend_stored")
        return learnt
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _apply(upload: Upload, parent: Upload, out: Path) -> dict[str, Any] | Finding:
    """Run the child on the parent's bytes. Shape: what it did, in counts, or why it did nothing."""
    request = {"rules": rules_of_upload(parent).to_json(), "out": str(out), "mends": upload.mends}
    try:
        with hold_original(parent) as path:
            request["path"] = str(path.resolve())
            return run_in_child("mend", request, beside=out.parent, **child_limits())
    except (FileNotFoundError, ObjectChanged):
        return _parent_gone()
    except ChildError as error:
        if Upload.objects.filter(pk=parent.pk, purged_at=None).exists():
            log.warning("mending died", upload_id=str(upload.public_id), error_type=type(error).__name__)
            return _cannot(str(error), "Mend the file in the program that made it, and send that.")
        return _parent_gone()


def left_out_rows(upload: Upload) -> int:
    """Count the rows of the original that a mended copy does not have: they count as rejected."""
    told: dict[str, Any] = upload.inspection.get("mended") or {}
    return int(told.get("left_out", 0))


def _parent_gone() -> Finding:
    """Say that there is nothing to mend any more."""
    return _cannot(
        "The original was deleted before the copy was made, so there is nothing to mend.", "Send the original again."
    )


def _cannot(message: str, mend: str) -> Finding:
    """Say why no copy was made."""
    return Finding(code="cannot_be_read", severity="error", message=message, mend=mend)
