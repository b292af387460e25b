"""The balance: where the numbers do not add up it is seen, said, logged, and nothing goes on."""

from __future__ import annotations

import io

import openpyxl
import pytest
from structlog.testing import capture_logs

from rowmill.errors import StateError
from rowmill.jobs.progress import list_account, read_progress
from rowmill.jobs.submit import submit_job
from rowmill.models import Batch, Job, JobState, Result, Upload
from rowmill.tabular.writers import write_xlsx
from tests.jobs.conftest import work


def spoil(upload: Upload, **counts: int) -> None:
    """Change the stored account of a file."""
    balance = {**upload.inspection["balance"], **counts}
    Upload.objects.filter(pk=upload.pk).update(inspection={**upload.inspection, "balance": balance})


@pytest.mark.parametrize("counts", [{"lines": 99}, {"blank": 1}, {"rows": 11, "lines": 12}])
def test_no_job_of_a_file_whose_account_does_not_balance(make_job, counts):
    upload = make_job(12).upload
    spoil(upload, **counts)
    with capture_logs() as logs, pytest.raises(StateError, match="does not balance"):
        submit_job(upload, None, {})
    assert [entry["log_level"] for entry in logs if entry["event"] == "upload does not balance"] == ["error"]
    assert Job.objects.filter(upload=upload).count() == 1


def test_no_job_of_a_file_without_an_account(make_job):
    upload = make_job(12).upload
    Upload.objects.filter(pk=upload.pk).update(inspection={})
    with pytest.raises(StateError, match="does not balance"):
        submit_job(upload, None, {})


def test_a_word_for_balanced_is_not_believed(make_job):
    upload = make_job(12).upload
    spoil(upload, broken=1, balances=True)
    with pytest.raises(StateError, match="does not balance"):
        submit_job(upload, None, {})


def lose_a_result(job: Job) -> None:
    Result.objects.filter(job=job, row_number=7).delete()


def miscount_a_batch(job: Job) -> None:
    batch = Batch.objects.filter(job=job).order_by("id")[0]
    Batch.objects.filter(pk=batch.pk).update(ok=batch.ok - 1)


def lose_a_batch(job: Job) -> None:
    Batch.objects.filter(job=job).order_by("-id")[0].delete()


def lose_rows(job: Job) -> None:
    Job.objects.filter(pk=job.pk).update(total_rows=job.total_rows - 1)


@pytest.mark.parametrize("tamper", [lose_a_result, miscount_a_batch, lose_a_batch, lose_rows])
def test_a_completed_job_that_does_not_add_up_is_logged_as_an_error(make_job, tamper):
    job = make_job(12)
    work()
    job.refresh_from_db()
    assert job.state == JobState.COMPLETED
    with capture_logs() as logs:
        assert read_progress(job).balance["rows_balance"] is True
    assert logs == []
    tamper(job)
    job = Job.objects.select_related("upload").get(pk=job.pk)
    with capture_logs() as logs:
        assert read_progress(job).balance["rows_balance"] is False
    assert [(entry["event"], entry["log_level"], entry["job_id"]) for entry in logs] == [
        ("job does not balance", "error", str(job.public_id))
    ]
    assert any("do not balance" in word for _, word in list_account(job))


def test_a_job_that_ends_unbalanced_is_logged_at_its_end(make_job, monkeypatch):
    job = make_job(3)
    monkeypatch.setattr("rowmill.jobs.progress._results_written", lambda ids: dict.fromkeys(ids, 2))
    with capture_logs() as logs:
        work()
    assert [entry["log_level"] for entry in logs if entry["event"] == "job does not balance"] == ["error"]
    job.refresh_from_db()
    assert job.state == JobState.COMPLETED


def test_the_account_goes_with_the_workbook(make_job):
    job = make_job(12)
    work()
    job.refresh_from_db()
    out = io.BytesIO()
    write_xlsx(("row",), [("1",)], out, account=list_account(job))
    book = openpyxl.load_workbook(out, read_only=True)
    assert book.sheetnames == ["Results", "Account"]
    told = {str(name).strip(): count for name, count in book["Account"].iter_rows(values_only=True)}
    assert told["Physical lines"] == "13"
    assert told["header"] == "1"
    assert told["Rows"] == told["ok"] == "12"
    assert told["The lines"] == told["The rows"] == "balance."
