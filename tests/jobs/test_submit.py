"""The whole door under a race: the same bytes twice at once."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from django.conf import settings as django_settings
from django.db import connections

from rowmill.errors import DuplicateFile
from rowmill.jobs import submit
from rowmill.models import Job, Upload
from rowmill.uploads.places import original_key
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
