"""The precheck: three stages written down as they come, whatever the file, whoever dies."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from rowmill.jobs.arrive import precheck_due
from rowmill.models import AuditEvent, Upload
from rowmill.orgs import find_caller
from rowmill.uploads.prechecks import receive_precheck
from tests.jobs import conftest as _registers_probe  # noqa: F401

pytestmark = pytest.mark.django_db
SOUND = b"id,note\n0001,a\n0002,b\n"
BROKEN = b'id,note\n0001,"a\n0002,b\n'


@pytest.fixture(autouse=True)
def _folders(settings, tmp_path: Path) -> None:
    settings.STORAGE_DIR, settings.SCRATCH_DIR = tmp_path / "storage", tmp_path / "scratch"
    settings.ROWMILL_MIN_FREE_BYTES = 0


@pytest.fixture
def alice(people):
    return find_caller(people.alice)


def run_all() -> None:
    while precheck_due():
        pass


def test_a_sound_file_is_told_whole_and_goes_after_a_day(alice) -> None:
    precheck = receive_precheck(alice, "table.csv", [SOUND])
    assert (precheck.status, precheck.upload.state, precheck.upload.lease_until) == ("PENDING", "CHECKING", None)
    run_all()
    precheck.refresh_from_db()
    assert (precheck.status, precheck.stage, precheck.progress, precheck.error) == ("COMPLETED", "validation", 100, "")
    assert precheck.metadata["sha256"] == hashlib.sha256(SOUND).hexdigest()
    assert (precheck.metadata["encoding"], precheck.metadata["delimiter"], precheck.metadata["newline"]) == (
        "utf-8",
        ",",
        "\n",
    )
    assert precheck.metadata["header"] == ["id", "note"]
    assert precheck.integrity["balance"]["balances"] is True
    assert (precheck.validation["verdict"], precheck.validation["rows"]) == ("sound", 2)
    upload = Upload.objects.get(pk=precheck.upload_id)
    assert (upload.state, upload.row_count) == ("READY", 2)
    assert upload.purge_after is not None
    verbs = list(AuditEvent.objects.filter(target_type="precheck").values_list("verb", flat=True))
    assert sorted(verbs) == ["precheck.begin", "precheck.done"]
