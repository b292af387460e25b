"""The second step the long way: diagnoses a file in three stages and writes each down as soon as it is known."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import structlog
from django.conf import settings
from django.db import DatabaseError, connections, transaction
from django.db.models import F, Q, QuerySet
from django.db.models.functions import Now
from django.utils import timezone

from rowmill import audit
from rowmill.contracts import Inspection
from rowmill.doorbell import INTERACTIVE, ring
from rowmill.errors import ChildError, InputError, LostLease, ObjectChanged, OutOfSpace, StateError, StorageFault
from rowmill.faults import fault_point
from rowmill.models import Precheck, PrecheckStatus, Upload, UploadState
from rowmill.models.text import storable
from rowmill.orgs import Caller
from rowmill.registry import KINDS
from rowmill.tabular.child import run_in_child
from rowmill.uploads.inspect import cannot_be_read, find_other_bytes, write_verdict
from rowmill.uploads.places import hold_original, publish_original
from rowmill.uploads.precheck_facts import add_error, tell_findings, tell_integrity, tell_metadata, tell_validation
from rowmill.uploads.receive import (
    PRECHECK,
    abandon_upload,
    begin_upload,
    finish_upload,
    is_for_precheck,
    open_precheck,
    receive_whole,
)
from rowmill.uploads.rules import rules_of_upload

log = structlog.get_logger("rowmill.prechecks")
LEASE = timedelta(seconds=60)
MOST_CLAIMS = 5  # a file that ends so many processes is not tried again
UNDER_WAY = (PrecheckStatus.PENDING, PrecheckStatus.RUNNING)
FINAL = (PrecheckStatus.COMPLETED, PrecheckStatus.FAILED)
STAGES = ("metadata", "integrity", "validation")
TOLD_SECONDS = 0.5  # between two writes of how far it is
SLOWEST_BYTES_A_SECOND = 5_000_000  # a file may take so long beyond the usual limit
_SCANNED, _CHECKED = 80, 90  # per cent of the whole when all bytes are read, and when their account is made


# ------------------------------------------------------------------------------------------------ beginning


def precheck_intent(form: Mapping[str, Any]) -> dict[str, Any]:
    """Give the intent of a file that is sent for a precheck. Raises: InputError bad_option."""
    sheet = str(form.get("sheet") or "").strip()
    if len(sheet) > 31:
        raise InputError("sheet takes the name of a sheet, which has at most 31 characters.", code="bad_option")
    return {PRECHECK: True, **({"sheet": sheet} if sheet else {})}


def read_kind(text: object) -> str:
    """Read the kind that a file is held against; "" for none, its columns' types are inferred then. Raises: InputError."""
    kind = str(text or "").strip()
    if kind and kind not in KINDS:
        known = ", ".join(sorted(KINDS))
        raise InputError(f"kind takes one of {known}, or nothing.", code="bad_option", field="kind")
    return kind


def receive_precheck(
    caller: Caller, name: str, chunks: Iterable[bytes], kind: str = "", form: Mapping[str, Any] | None = None
) -> Precheck:
    """Take a whole file in for a precheck and nothing else; a worker runs it.

    Raises: NotAllowed, InputError (bad_option, too_large, empty_file), OutOfSpace, StorageFault.
    """
    upload = begin_upload(caller, read_kind(kind), name, precheck_intent(form or {}))
    size, sha256 = receive_whole(upload, chunks, settings.ROWMILL_MAX_FILE_BYTES)
    try:
        publish_original(upload)  # whichever machine runs it finds it there
        finish_upload(upload, size, sha256)
    except (StorageFault, OutOfSpace):
        abandon_upload(upload)
        raise
    ring(INTERACTIVE)
    return Precheck.objects.select_related("upload").get(upload=upload)


def begin_precheck(caller: Caller, upload: Upload) -> Precheck:
    """Precheck a file that is here already, a refused one above all; its state is left alone.

    Raises: NotAllowed; StateError where its bytes are not here (any more). Again: gives the one that is under way.
    """
    caller.need_write()
    if upload.state not in (UploadState.READY, UploadState.REJECTED):
        raise StateError("This file is not all here yet, or its sending was given up. Send it again.")
    if upload.purged_at is not None:
        raise StateError("The bytes of this file were removed. Send it again.", code="bytes_gone")
    with transaction.atomic():
        Upload.objects.select_for_update(no_key=True).get(pk=upload.pk)
        same = Precheck.objects.filter(upload=upload, status__in=UNDER_WAY).select_related("upload").first()
        precheck = same or open_precheck(upload, caller.user)
    ring(INTERACTIVE)
    return precheck


# ------------------------------------------------------------------------------------------------ claiming


def due_prechecks() -> QuerySet[Precheck]:
    """Find the prechecks that nobody runs: new ones, and those whose worker died."""
    return Precheck.objects.filter(Q(lease_until=None) | Q(lease_until__lt=Now()), status__in=UNDER_WAY)


def claim_due_precheck() -> Precheck | None:
    """Take the precheck that waits longest. Gives None where none is due. Cost: one read of an index then."""
    for precheck_id in list(due_prechecks().order_by("pk").values_list("pk", flat=True)[:3]):
        mine = due_prechecks().filter(pk=precheck_id)
        if mine.update(
            status=PrecheckStatus.RUNNING,
            claims=F("claims") + 1,
            lease_until=Now() + LEASE,
            stage=STAGES[0],
            progress=0,
        ):
            return Precheck.objects.select_related("upload__org", "org", "created_by").get(pk=precheck_id)
    return None


def take_back_prechecks() -> None:
    """Make all due that are under way: at the start of the only process there is."""
    Precheck.objects.filter(status=PrecheckStatus.RUNNING).update(lease_until=None)


def put_off(precheck: Precheck, seconds: float = 0.0) -> None:
    """Let a precheck be run a little later, or at once, by whoever comes first. What its run may still write is refused."""
    until = Now() + timedelta(seconds=seconds) if seconds else None
    # Who waits for the storage has ended its run and says so: that counts for nothing, however long it is away.
    claims = precheck.claims - 1 if seconds else precheck.claims
    _mine(precheck).update(lease_until=until, status=PrecheckStatus.PENDING, claims=claims)


def _mine(precheck: Precheck) -> QuerySet[Precheck]:
    """Give the row for as long as it is this caller's."""
    return Precheck.objects.filter(pk=precheck.pk, status=PrecheckStatus.RUNNING, claims=precheck.claims)


def _write(precheck: Precheck, **fields: Any) -> None:
    """Write down what is known by now, and renew the lease. Raises: LostLease."""
    if not _mine(precheck).update(lease_until=Now() + LEASE, **{name: storable(v) for name, v in fields.items()}):
        raise LostLease


@contextmanager
def _held(precheck: Precheck) -> Iterator[None]:
    """Renew the lease every third of its length, on a connection of its own: a stage may be silent for long."""
    over = threading.Event()

    def keep() -> None:
        while not over.wait(LEASE.total_seconds() / 3):
            try:
                _mine(precheck).update(lease_until=Now() + LEASE)
            except DatabaseError as error:
                log.warning("lease not renewed", upload_id=str(precheck.upload.public_id), exc_info=error)
        connections.close_all()

    thread = threading.Thread(target=keep, name="precheck-lease", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


# ------------------------------------------------------------------------------------------------ running


def run_precheck(precheck: Precheck) -> None:
    """Run a precheck that this caller holds to its end, or put it off where the storage does not answer.

    Raises: LostLease where another took it over meanwhile: nothing more is written. Again: yes, by whoever claims it.
    """
    upload = precheck.upload
    if precheck.claims > MOST_CLAIMS:
        _fail(precheck, f"The process that reads this file stopped {MOST_CLAIMS} times, so it is not tried again.")
        return
    begun = time.monotonic()
    try:
        with _held(precheck):
            inspection = _look(precheck)
            publish_original(upload)
    except ChildError as error:
        _fail(precheck, str(error))
    except FileNotFoundError:
        _fail(precheck, "The bytes of this file are not here any more. Send it again.")
    except ObjectChanged as error:
        _fail(precheck, str(error))
    except (StorageFault, OutOfSpace) as fault:
        log.warning("precheck waits", upload_id=str(upload.public_id), cause=type(fault).__name__)
        put_off(precheck, 10.0)
    else:
        fault_point("prechecked")
        _complete(precheck, inspection, time.monotonic() - begun)


def _look(precheck: Precheck) -> Inspection:
    """Read the file in the limited child, and write down what it tells."""
    upload, listener = precheck.upload, _Listener(precheck)
    settings.SCRATCH_DIR.mkdir(parents=True, exist_ok=True, mode=0o700)
    with hold_original(upload) as path:
        request = {"path": str(path.resolve()), "rules": rules_of_upload(upload).to_json()}
        found = run_in_child(
            "diagnose",
            request,
            beside=settings.SCRATCH_DIR,
            memory_bytes=settings.ROWMILL_INSPECT_MEMORY_BYTES,
            seconds=settings.ROWMILL_INSPECT_SECONDS + upload.size_bytes / SLOWEST_BYTES_A_SECOND,
            on_told=listener.hear,
        )
    return Inspection.from_json(found)


class _Listener:
    """Writes down what the child tells on its way."""

    def __init__(self, precheck: Precheck) -> None:
        self._precheck = precheck
        self._told_at = 0.0
        self._percent = 0

    def hear(self, told: Mapping[str, Any]) -> None:
        """Take what the child says. Raises: LostLease."""
        if "scanned_bytes" in told:
            self.hear_progress(told["scanned_bytes"])
        else:
            self.hear_stage(told["stage"], Inspection.from_json(told["so_far"]))

    def hear_progress(self, scanned_bytes: int) -> None:
        """Note how far the reading is, but not more often than anybody looks. Raises: LostLease."""
        if time.monotonic() - self._told_at < TOLD_SECONDS:
            return
        self._told_at = time.monotonic()
        whole = max(1, self._precheck.upload.size_bytes)
        self._percent = max(self._percent, min(_SCANNED, 1 + (_SCANNED - 1) * scanned_bytes // whole))
        read = {"read_bytes": scanned_bytes, "size_bytes": whole}
        _write(self._precheck, stage="integrity", progress=self._percent, integrity=read)

    def hear_stage(self, stage: str, so_far: Inspection) -> None:
        """Note what is known after a stage. Raises: LostLease."""
        fault_point(f"precheck_{stage}")
        if stage == "metadata":
            self._percent = max(self._percent, 1)
            facts = tell_metadata(self._precheck.upload, so_far)
            _write(self._precheck, stage="integrity", progress=self._percent, metadata=facts)
        else:
            facts, found = tell_integrity(so_far), tell_findings(so_far)
            _write(self._precheck, stage="validation", progress=_CHECKED, integrity=facts, findings=found)


def _complete(precheck: Precheck, inspection: Inspection, seconds: float) -> None:
    """Write the end down, and the verdict on a file that was sent for this alone. Raises: LostLease."""
    upload = precheck.upload
    if (wrong := find_other_bytes(upload, inspection.sha256)) is not None:
        inspection = add_error(inspection, wrong)
    with transaction.atomic():
        _write(
            precheck,
            status=PrecheckStatus.COMPLETED,
            stage=STAGES[-1],
            progress=100,
            metadata=tell_metadata(upload, inspection),
            integrity=tell_integrity(inspection),
            validation=tell_validation(upload.kind, inspection),
            findings=tell_findings(inspection),
        )
        _end(precheck, inspection)
        told = {"outcome": inspection.verdict, "rows": inspection.row_count, "findings": len(inspection.findings)}
        audit.record(precheck.org, precheck.created_by, "precheck.done", "precheck", precheck.public_id, **told)
    _log_end(precheck, inspection.verdict, seconds, inspection)


def _fail(precheck: Precheck, words: str) -> None:
    """Write down that there is no diagnosis, and why. Raises: LostLease."""
    with transaction.atomic():
        _write(precheck, status=PrecheckStatus.FAILED, error=words)
        _end(precheck, cannot_be_read(words))
        audit.record(
            precheck.org, precheck.created_by, "precheck.done", "precheck", precheck.public_id, outcome="failed"
        )
    _log_end(precheck, "failed", (timezone.now() - precheck.created_at).total_seconds())


def give_up(precheck: Precheck, words: str) -> bool:
    """End a precheck that nobody runs (any more). Gives False where somebody does, or it is over."""
    with transaction.atomic():
        if not due_prechecks().filter(pk=precheck.pk).update(status=PrecheckStatus.FAILED, error=words):
            return False
        _end(precheck, cannot_be_read(words))
        told = {"outcome": "given up"}
        audit.record(precheck.org, None, "precheck.done", "precheck", precheck.public_id, **told)
    return True


def _end(precheck: Precheck, inspection: Inspection) -> None:
    """Let go of the lease; give a file that was sent for this alone its verdict, and a day to live."""
    Precheck.objects.filter(pk=precheck.pk).update(lease_until=None, finished_at=timezone.now())
    upload = precheck.upload
    if is_for_precheck(upload.intent) and upload.state == UploadState.CHECKING:
        if not upload.sha256 and inspection.sha256:
            Upload.objects.filter(pk=upload.pk, sha256="").update(sha256=inspection.sha256)
        write_verdict(upload, inspection, {}, keep=False)


def _log_end(precheck: Precheck, outcome: str, seconds: float, inspection: Inspection | None = None) -> None:
    """Say in the log what became of it, in numbers."""
    upload = precheck.upload
    log.info(
        "precheck done",
        upload_id=str(upload.public_id),
        kind=upload.kind,
        outcome=outcome,
        seconds=round(seconds, 3),
        bytes=upload.size_bytes,
        rows=inspection.row_count if inspection else 0,
        count=len(inspection.findings) if inspection else 0,
        claims=precheck.claims,
    )
