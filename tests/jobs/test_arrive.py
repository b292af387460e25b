"""From a door to a job: who inspects what came in, how many at once, and what a stop gives back."""

from __future__ import annotations

import threading
from itertools import count
from pathlib import Path

import pytest
from django.db import connections

from rowmill.errors import StorageFault
from rowmill.jobs import arrive
from rowmill.jobs.arrive import complete_upload, inspect_due
from rowmill.jobs.runner import Runner
from rowmill.models import Job, Upload
from rowmill.uploads.chunks import put_chunk
from rowmill.uploads.inspect import claim_due_upload
from rowmill.uploads.sessions import open_session
from tests.crash.server import wait_for
from tests.jobs.conftest import table

_NUMBERS = count(1)


@pytest.fixture(autouse=True)
def _folders(settings, tmp_path: Path) -> None:
    settings.STORAGE_DIR, settings.SCRATCH_DIR = tmp_path / "storage", tmp_path / "scratch"
    settings.ROWMILL_MIN_FREE_BYTES = 0
    settings.ROWMILL_SWEEP_SECONDS = 0.1


@pytest.fixture
def arrived(alice, tmp_path: Path):
    """Give what sends a file by the chunk door, up to where a worker has to judge it."""

    def send() -> Upload:
        path = tmp_path / "spool"
        path.write_bytes(b"".join(table(5, f"{next(_NUMBERS)} ")))
        size, word = path.stat().st_size, str(next(_NUMBERS))
        session = open_session(
            alice, "probe", "c.csv", door="chunks", size_bytes=size, chunk_count=1, fingerprint=word, intent={}
        )
        put_chunk(session, 0, path)
        return complete_upload(alice, session)

    return send


def job_is_done() -> bool:
    return Job.objects.filter(state="COMPLETED").count() == 1


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("lanes", [("interactive",), ("bulk",)])
def test_whatever_lanes_a_worker_serves_what_came_in_is_judged(arrived, lanes) -> None:
    upload = arrived()
    runner = Runner(1, lanes=lanes, alone=False)
    runner.start()
    try:
        wait_for(lambda: Upload.objects.get(pk=upload.pk).state == "READY", 60, "it does not happen")
        wait_for(lambda: Job.objects.filter(upload=upload).exists(), 60, "it does not happen")
        if lanes == ("interactive",):
            wait_for(job_is_done, 60, "it does not happen")
    finally:
        runner.stop(60)


@pytest.mark.django_db(transaction=True)
def test_a_process_inspects_a_few_at_once_and_gives_them_back_when_it_ends(arrived, monkeypatch) -> None:
    uploads = [arrived() for _ in range(arrive.MOST_INSPECTIONS + 2)]
    let_go = threading.Event()
    monkeypatch.setattr(arrive, "judge_claimed", lambda upload: let_go.wait(60))
    threads = [threading.Thread(target=_inspect_and_close) for _ in range(arrive.MOST_INSPECTIONS)]
    try:
        for thread in threads:
            thread.start()
        wait_for(lambda: len(arrive._held) == arrive.MOST_INSPECTIONS, 60, "it does not happen")
        assert inspect_due() is False
        held = set(arrive._held)
        assert Runner(1).stop(0) == 0
        due = set()
        while (upload := claim_due_upload()) is not None:
            due.add(upload.pk)
        assert (len(held), due) == (arrive.MOST_INSPECTIONS, {upload.pk for upload in uploads})
    finally:
        let_go.set()
        for thread in threads:
            thread.join(60)
    assert arrive._held == {}


def _inspect_and_close() -> None:
    try:
        inspect_due()
    finally:
        connections.close_all()


@pytest.mark.django_db
def test_while_the_storage_is_away_a_verdict_waits_a_little(arrived, monkeypatch) -> None:
    def away(upload: Upload) -> Upload:
        raise StorageFault("The storage does not answer.")

    upload = arrived()
    monkeypatch.setattr(arrive, "inspect_upload", away)
    assert inspect_due() is True
    assert inspect_due() is False
    monkeypatch.undo()
    Upload.objects.filter(pk=upload.pk).update(lease_until="2000-01-01T00:00:00+00:00")
    assert inspect_due() is True
    assert Job.objects.filter(upload=upload).count() == 1


@pytest.mark.django_db
def test_a_file_that_was_sent_for_no_job_starts_none(alice, tmp_path) -> None:
    path = tmp_path / "spool"
    path.write_bytes(b"".join(table(5)))
    session = open_session(alice, "probe", "c.csv", door="chunks", size_bytes=path.stat().st_size, chunk_count=1)
    put_chunk(session, 0, path)
    upload = complete_upload(alice, session)
    assert inspect_due() is True
    assert arrive.await_verdict(upload, 0).state == "READY"
    assert not Job.objects.exists()
