"""The whole door under a race and after a death: the same bytes twice at once, a key whose request died."""

from __future__ import annotations

import hashlib
import threading
from datetime import timedelta
from pathlib import Path

import pytest
from django.conf import settings as django_settings
from django.db import connections
from django.utils import timezone

from rowmill.errors import DuplicateFile, StateError
from rowmill.jobs import submit
from rowmill.jobs.sweep import sweep
from rowmill.models import IdempotencyKey, Job, Upload
from rowmill.uploads.places import original_key
from rowmill.uploads.receive import inspect_lease
from tests.jobs.conftest import table


@pytest.mark.django_db(transaction=True)
def test_the_same_file_twice_at_once_is_one_job_and_the_other_is_told(alice, settings, tmp_path: Path, monkeypatch):
    """Both have passed the check before the inspection, so only the one inside the transaction can tell."""
    settings.STORAGE_DIR, settings.SCRATCH_DIR = tmp_path / "storage", tmp_path / "scratch"
    both_inspected = threading.Barrier(2, timeout=60)
    inspect = submit.inspect_upload

    def inspect_and_wait(upload: Upload) -> Upload:
        inspected = inspect(upload)
        both_inspected.wait()
        return inspected

    monkeypatch.setattr(submit, "inspect_upload", inspect_and_wait)
    answers: list[object] = []

    def post() -> None:
        try:
            answers.append(submit.take_file(alice, "probe", "probe.csv", table(5), intent={}).job.public_id)
        except DuplicateFile as error:
            answers.append(error)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=post) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    job = Job.objects.get()
    (told,) = [answer for answer in answers if isinstance(answer, DuplicateFile)]
    assert (answers.count(job.public_id), told.details["job_id"]) == (1, str(job.public_id))
    assert sorted(Upload.objects.values_list("state", flat=True)) == ["ABORTED", "READY"]
    left = [path for path in Path(django_settings.STORAGE_DIR).rglob("original") if path.is_file()]
    assert left == [Path(django_settings.STORAGE_DIR) / original_key(job.upload)], "no bytes of the other are left"


def _post(alice, key: str = "k1"):
    return submit.take_file(alice, "probe", "probe.csv", table(5), intent={}, idempotency_key=key)


def test_a_key_whose_request_died_is_free_once_no_inspection_can_be_under_way(alice):
    """What a web process leaves that is killed between the last byte and the verdict."""
    sha256 = hashlib.sha256(b"".join(table(5))).hexdigest()
    request_hash = submit.hash_request(sha256, "probe", {})
    IdempotencyKey.objects.create(org=alice.org, user=alice.user, key="k1", request_hash=request_hash)
    sweep()
    with pytest.raises(StateError, match="still under way"):
        _post(alice)
    IdempotencyKey.objects.update(created_at=timezone.now() - inspect_lease() - timedelta(minutes=3))
    sweep()
    made = _post(alice)
    assert (made.replayed, _post(alice).job, Job.objects.count()) == (False, made.job, 1)


def test_a_request_that_was_taken_for_dead_gives_the_job_that_a_sweeper_made(alice, monkeypatch):
    inspect = submit.inspect_upload

    def inspect_and_freeze(upload: Upload) -> Upload:
        """Judge it, then stand still until the sweeper has come by."""
        inspected = inspect(upload)
        Upload.objects.update(checked_at=timezone.now() - timedelta(minutes=3))
        sweep()
        return inspected

    monkeypatch.setattr(submit, "inspect_upload", inspect_and_freeze)
    made = _post(alice)
    monkeypatch.undo()
    assert Job.objects.get() == made.job
    assert _post(alice).replayed


@pytest.mark.parametrize(
    ("rows", "most", "size", "batches"),
    [
        (1_999, 10_000, 10_000, 1),  # too few to share
        (10_000, 10_000, 5_000, 2),
        (50_000, 10_000, 8_334, 6),
        (1_000_000, 10_000, 10_000, 100),
        (30_001, 10_000, 7_501, 4),
    ],
)
def test_two_workers_have_as_many_batches_of_one_length(rows: int, most: int, size: int, batches: int) -> None:
    assert submit.even_out(rows, most) == size
    assert -(-rows // size) == batches
