"""The runner: what it refuses to start on, whom it leaves alone, what it gives back."""

from __future__ import annotations

import base64
import os
import threading
import time

import pytest

from rowmill import orgs
from rowmill.errors import ConfigError
from rowmill.jobs.claim import claim_batch
from rowmill.jobs.runner import Runner
from rowmill.jobs.sweep import recover_among_others
from rowmill.models import Batch
from rowmill.uploads.tidy import ORPHAN_AGE
from tests.crash.server import wait_for
from tests.probe import Probe, slowly


@pytest.mark.parametrize(
    ("key", "words"),
    [(base64.b64encode(b"k" * 32).decode(), "another encryption key"), ("short", "base64 of 32 bytes")],
)
def test_with_another_key_it_does_not_start_and_touches_no_row(make_job, settings, key: str, words: str) -> None:
    """It would fail every row: neither a payer account nor an answer opens or seals."""
    job = make_job(5)
    settings.ROWMILL_ENCRYPTION_KEY = key
    orgs.org_sealer.cache_clear()
    runner = Runner(1)
    with pytest.raises(ConfigError, match=words):
        runner.start()
    assert not any(thread.is_alive() for thread in runner._threads)
    assert list(Batch.objects.filter(job=job).values_list("state", "claims").distinct()) == [("waiting", 0)]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(("alone", "state"), [(True, "waiting"), (False, "running")])
def test_a_live_lease_is_taken_back_only_by_who_is_alone(make_job, alone: bool, state: str) -> None:
    make_job(5)
    held = claim_batch("another", "interactive")
    assert held is not None
    runner = Runner(1, alone=alone)
    runner.stopping.set()  # it looks around and does nothing
    runner.start()
    runner.stop(60)
    assert Batch.objects.get(pk=held.pk).state == state


@pytest.mark.django_db(transaction=True)
def test_a_stop_gives_back_what_does_not_hear_it_and_no_late_row_is_written(make_job) -> None:
    asked, let_go = threading.Event(), threading.Event()

    def hang(batch, row):
        asked.set()
        let_go.wait(250)

    job = make_job(5)
    Probe.plan = staticmethod(hang)
    runner = Runner(1)
    runner.start()
    assert asked.wait(60)
    assert runner.describe().startswith(f"batches {Batch.objects.get(job=job).pk};")
    quicker = threading.Event()
    quicker.set()
    runner.stop(600, quicker=quicker)
    batch = Batch.objects.get(job=job)
    let_go.set()
    assert (batch.state, batch.attempts) == ("waiting", 0)
    wait_for(lambda: not any(thread.is_alive() for thread in runner._threads), 30, "threads hang")
    batch.refresh_from_db()
    assert (batch.state, batch.attempts, batch.owner, batch.ok) == ("waiting", 0, "", 0)


@pytest.mark.django_db(transaction=True)
def test_a_thread_is_kept_free_for_the_first_lane(make_job) -> None:
    """Every thread is busy with bulk work that takes its time; ten rows of somebody else are done meanwhile."""
    bulk = make_job(600)  # two minutes of it
    Probe.plan = staticmethod(slowly(0.2))
    runner = Runner(1)
    runner.start()
    try:
        wait_for(lambda: Batch.objects.filter(job=bulk, state="running").exists(), 20, "not begun")
        small = make_job(5)
        wait_for(lambda: Batch.objects.filter(job=small, state="done").exists(), 30, "starved")
        assert Batch.objects.filter(job=bulk, state__in=["waiting", "running"]).exists()
    finally:
        runner.stop(60)


def test_a_start_among_others_clears_only_what_is_a_day_old(settings, tmp_path) -> None:
    settings.SCRATCH_DIR = tmp_path
    (tmp_path / "inspect-old").mkdir()
    (tmp_path / "inspect-new").mkdir()
    (tmp_path / "objects").mkdir()
    (tmp_path / "receive-old").write_text("x")
    long_ago = time.time() - ORPHAN_AGE.total_seconds() - 60
    for name in ("inspect-old", "receive-old", "objects"):
        os.utime(tmp_path / name, (long_ago, long_ago))
    recover_among_others()
    assert {path.name for path in tmp_path.iterdir()} == {"inspect-new", "objects"}
