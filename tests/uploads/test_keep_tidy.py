"""A web process runs no sweeper, yet what a death left in its spool goes."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from rowmill.models import Upload, UploadState
from rowmill.orgs import find_caller
from rowmill.storage import LocalStorage
from rowmill.uploads import tidy
from rowmill.uploads.places import original_key
from rowmill.uploads.receive import begin_upload
from tests.jobs.conftest import _fresh_probe  # noqa: F401


@pytest.mark.django_db(transaction=True)
def test_a_spooled_file_goes_once_its_upload_is_over(people, monkeypatch, tmp_path: Path) -> None:
    spool, storage = LocalStorage(tmp_path / "spool", 0), LocalStorage(tmp_path / "storage", 0)
    monkeypatch.setattr(tidy, "get_spool", lambda: spool)
    monkeypatch.setattr(tidy, "get_storage", lambda **how: storage)
    monkeypatch.setattr(tidy, "LOCAL_SECONDS", 0.05)
    over, at_work = (begin_upload(find_caller(people.alice), "probe", "p.csv") for _ in range(2))
    for upload in (over, at_work):
        spool.write(original_key(upload), [b"id\n1\n"])
    Upload.objects.filter(pk=over.pk).update(state=UploadState.ABORTED)
    stopping = threading.Event()
    thread = tidy.keep_tidy(stopping)
    until = time.monotonic() + 120
    while spool.stat(original_key(over)) and time.monotonic() < until:
        time.sleep(0.02)
    stopping.set()
    thread.join(60)
    assert spool.stat(original_key(over)) is None
    assert spool.stat(original_key(at_work)) is not None, "what is being received stays"
