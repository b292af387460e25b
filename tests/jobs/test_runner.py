"""The embedded runner: what it refuses to start on."""

from __future__ import annotations

import base64

import pytest

from rowmill import orgs
from rowmill.errors import ConfigError
from rowmill.jobs.runner import Runner
from rowmill.models import Batch


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
