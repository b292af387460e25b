"""Beside the flow: removes what no upload needs: spooled files and copies on this machine, orphans in the storage."""

from __future__ import annotations

import random
import re
import shutil
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import datetime, timedelta
from itertools import groupby

import structlog
from django.conf import settings
from django.db import DatabaseError, close_old_connections, connections
from django.db.models import QuerySet
from django.utils import timezone

from rowmill import audit
from rowmill.contracts import Storage, Stored
from rowmill.errors import StorageFault
from rowmill.models import Export, ExportState, Org, Upload, UploadState
from rowmill.storage.opening import COPIES
from rowmill.storage.seal import master_sealer
from rowmill.uploads.bucket import end_lost_sessions, live_tokens
from rowmill.uploads.places import SPOOL, get_spool, get_storage
from rowmill.uploads.precheck_cleanup import clean_old_prechecks

log = structlog.get_logger("rowmill.uploads")
ORPHAN_AGE = timedelta(days=1)
OWNER_KEY = "installation"
LOCAL_SECONDS = 60.0
ORPHANS_SECONDS = 6 * 3600.0
NIGHT_HOUR = 2
LEFT_IN_SCRATCH = ("inspect-*", "results-*", "receive-*", "spool-*", "merge-*", "groups-*", "rowmill-*", "tmp*")
_FOLDER = re.compile(r"^(org/\d+/uploads/([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}))/")
_COPY = re.compile(r"^(org/\d+/uploads/([0-9a-f-]{36}))/table(?:-\d+)?\.parquet\Z")
_WORKBOOK = re.compile(r"^org/\d+/exports/([0-9a-f-]{36})-\d+\.xlsx\Z")
_RECORDED = "inspection__table__key"
_LOOKED_UP = 500


class _Pace:
    """Lets one caller of this process through at a time, and not before it is due again."""

    def __init__(self, seconds: float, first_seconds: float) -> None:
        self._seconds = seconds
        self._lock = threading.Lock()
        self._due = time.monotonic() + first_seconds

    def is_due(self) -> bool:
        """Tell whether it is time; whoever hears yes does it."""
        with self._lock:
            if time.monotonic() < self._due:
                return False
            self._due = time.monotonic() + self._seconds
            return True


class _Nightly:
    """Comes due once a night, at two o'clock in the installation's time zone."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._due: datetime | None = None

    def is_due(self) -> bool:
        """Tell whether it is time; whoever hears yes does it."""
        with self._lock:
            now = timezone.localtime()
            due, self._due = self._due, self._due or next_night(now)
            if due is None or now < due:
                return False
            self._due = next_night(now)
            return True


def next_night(now: datetime) -> datetime:
    """Give when the next night's tidying is due. Units: `now` in the installation's time zone."""
    tonight = now.replace(hour=NIGHT_HOUR, minute=0, second=0, microsecond=0)
    return tonight if now < tonight else tonight + timedelta(days=1)


_local = _Pace(LOCAL_SECONDS, 0.0)
# Spread over the processes; the first soon, since a process may not live for hours.
_orphans = _Pace(ORPHANS_SECONDS, random.uniform(300, 3900))


_nightly = _Nightly()


def tidy_bytes() -> None:
    """Do what is due of the three. Again: yes, in any number of processes; a storage that is away is left for later."""
    try:
        if _local.is_due():
            clear_machine()
        if _nightly.is_due():
            clear_leavings()
            clean_old_prechecks()
            clear_orphans()
        elif _orphans.is_due():
            clear_orphans()
    except StorageFault as fault:
        log.warning("storage not tidied", cause=str(fault))


def keep_tidy(stopping: threading.Event) -> threading.Thread:
    """Remove this machine's leavings every minute until stopped, in a thread: for a process that runs no sweeper.

    Without it a file that was being received when the process died would lie on a web machine's disk for ever.
    """

    def go_on() -> None:
        while not stopping.wait(LOCAL_SECONDS):
            try:
                clear_machine()
            except (DatabaseError, OSError) as error:
                log.warning("machine not tidied", exc_info=error)
            close_old_connections()
        connections.close_all()

    thread = threading.Thread(target=go_on, name="tidy", daemon=True)
    thread.start()
    return thread


def clear_machine() -> int:
    """Remove spooled files and copies of uploads that are over from this machine. Gives how many went."""
    spool, storage = get_spool(), get_storage()
    if spool is storage:
        return 0
    gone = spool.clear_unfinished(ORPHAN_AGE.total_seconds())
    over = _not_among(spool.keys(), Upload.objects.filter(state__in=[UploadState.RECEIVING, UploadState.CHECKING]))
    for key in over:
        spool.delete(key)
        gone += 1
    copies = list(storage.copies())
    for key in (*_not_among(copies, Upload.objects.filter(purged_at=None)), *_workbooks_over(copies)):
        storage.drop_copy(key)
        gone += 1
    return gone


def clear_leavings() -> None:
    """Remove from this machine's scratch what processes that died left there: nothing under way is a day old."""
    settings.SCRATCH_DIR.mkdir(parents=True, exist_ok=True, mode=0o700)
    oldest = time.time() - ORPHAN_AGE.total_seconds()
    for pattern in LEFT_IN_SCRATCH:
        for path in settings.SCRATCH_DIR.glob(pattern):
            with suppress(FileNotFoundError):
                if path.stat().st_mtime > oldest:
                    continue
                if path.is_dir():
                    shutil.rmtree(path, ignore_errors=True)
                else:
                    path.unlink()


def clear_scratch() -> None:
    """Empty the scratch folder at the start of the only process, but for what still serves with a bucket."""
    kept = set() if get_storage().near else {SPOOL, COPIES}
    settings.SCRATCH_DIR.mkdir(parents=True, exist_ok=True, mode=0o700)
    for path in settings.SCRATCH_DIR.iterdir():
        if path.name in kept:
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def clear_orphans() -> int:
    """Remove objects older than a day that belong to no upload, or to one that is purged. Gives how many went.

    So goes the columnar copy of an inspector that died before its verdict, once another has given one, and a workbook
    that is kept no more. The parts of
    files that were never finished go with them, but what a session still needs; a session whose parts the bucket no
    longer has ends.

    A prefix that belongs to another installation is left alone.
    Cost: a call for each 1,000 objects, and a query for each 500 uploads.
    """
    storage = get_storage(patient=False)
    if settings.ROWMILL_STORAGE_URL and not owns(storage):
        log.error("storage belongs to another installation", setting="ROWMILL_STORAGE_URL")
        return 0
    gone = 0
    old = (found.key for found in storage.listing("org") if _is_old(found))
    for block in _blocks(old):
        for key in _not_among(block, Upload.objects.filter(purged_at=None)):
            storage.delete(key)
            _note_orphan(key)
            gone += 1
        for key in (*_superseded(block), *_workbooks_over(block)):
            storage.delete(key)
            gone += 1
    gone += storage.clear_unfinished(ORPHAN_AGE.total_seconds(), spare=live_tokens())
    if gone:
        log.warning("orphans removed", count=gone)
    end_lost_sessions()
    return gone


def _note_orphan(key: str) -> None:
    """Put it into the org's trail: what lay on a disk and is gone stands there, whoever lost it."""
    match = _FOLDER.match(key)
    org = Org.objects.filter(pk=int(key.split("/")[1])).first() if match else None
    if match and org is not None:
        audit.record(org, None, "upload.orphan", "upload", match[2])


def owns(storage: Storage) -> bool:
    """Tell whether this prefix is this installation's: the first to ask signs it with a word made from its key."""
    word = master_sealer(settings.ROWMILL_ENCRYPTION_KEY).mac(b"storage", "storage-owner").encode()
    if storage.stat(OWNER_KEY) is None:
        with suppress(FileExistsError):
            storage.write(OWNER_KEY, [word])
    with storage.open(OWNER_KEY) as file:
        return file.read() == word


def _is_old(found: Stored) -> bool:
    """Tell whether an object has stood for a day: a younger one may be on its way into the database."""
    return timezone.now() - found.modified_at > ORPHAN_AGE


def _not_among(keys: Iterable[str], wanted: QuerySet[Upload]) -> Iterator[str]:
    """Give the keys whose upload is none of those wanted. What is no upload's key is never given."""
    for block in _blocks(keys):
        ids = {match[2] for key in block if (match := _FOLDER.match(key))}
        found = wanted.filter(public_id__in=ids).values_list("public_id", flat=True)
        kept = {str(public_id) for public_id in found}
        yield from (key for key in block if (match := _FOLDER.match(key)) and match[2] not in kept)


def _superseded(keys: Iterable[str]) -> Iterator[str]:
    """Give the columnar copies whose upload is judged and stands by another one, or by none."""
    copies = {key: match for key in keys if (match := _COPY.match(key))}
    judged = Upload.objects.filter(state__in=[UploadState.READY, UploadState.REJECTED, UploadState.ABORTED])
    found = judged.filter(public_id__in={match[2] for match in copies.values()}, purged_at=None)
    told = {str(name): (state, key) for name, state, key in found.values_list("public_id", "state", _RECORDED)}
    for key, match in copies.items():
        if match[2] in told:
            state, recorded = told[match[2]]
            if state != UploadState.READY or key != (recorded or f"{match[1]}/table.parquet"):
                yield key


def _workbooks_over(keys: Iterable[str]) -> Iterator[str]:
    """Give the workbooks that are kept no more, or that whoever made them had lost to another."""
    found = {key: match[1] for key in keys if (match := _WORKBOOK.match(key))}
    kept = Export.objects.filter(public_id__in=set(found.values()), state=ExportState.DONE)
    recorded = set(kept.values_list("key", flat=True))
    yield from (key for key in found if key not in recorded)


def _blocks(keys: Iterable[str]) -> Iterator[list[str]]:
    """Cut a stream of keys into lists."""
    for _, block in groupby(enumerate(keys), lambda found: found[0] // _LOOKED_UP):
        yield [key for _, key in block]
