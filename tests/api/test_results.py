"""Results by API: CSV, XLSX and JSON, by outcome, while a job runs and after; retry, cancel, delete."""

from __future__ import annotations

import csv
import io
from zipfile import ZipFile

import pytest
from django.utils import timezone
from python_calamine import CalamineWorkbook
from rest_framework.test import APIClient

from rowmill.models import AuditEvent, Batch, Job, Result
from tests.api.test_claims import HEADER, send
from tests.conftest import People

JOBS = "/api/v1/claims/csv-jobs/"
AGREED = [
    "row",
    "claim_number",
    "status",
    "patient_name",
    "total_charged",
    "total_paid",
    "processed_date",
    "success",
    "error",
]
FILE = HEADER.replace(b"\n", b",note\n") + b"".join(
    b"C100%d,Ann,Oak,1980-01-15,S100%d,%s\n" % (n, n, note)
    for n, note in enumerate([b"one", b"=1+1", b"three", b"four"], start=1)
)


@pytest.fixture
def job(people: People, alice: APIClient) -> Job:
    """A job of four rows of which three are done: not found, failed, rejected."""
    made = Job.objects.get(public_id=send(alice, FILE, name="März; report.csv").json()["id"])
    for row, (outcome, code) in enumerate(
        [("not_found", "NOT_FOUND"), ("failed", "RETRIES_EXHAUSTED"), ("rejected", "INVALID_INPUT")], 1
    ):
        Result.objects.create(
            org=people.acme,
            job=made,
            row_number=row,
            outcome=outcome,
            code=code,
            message="Words.",
            written_at=timezone.now(),
        )
    Batch.objects.filter(job=made).update(not_found=1, failed=1, rejected=1, state="cancelled")
    end(made, "CANCELLED")
    return made


def end(job: Job, state: str) -> None:
    Job.objects.filter(pk=job.pk).update(state=state, processing_started_at=timezone.now())


def body_of(response) -> bytes:
    assert response.status_code == 200, response.content
    return response.getvalue()


def read_csv(client: APIClient, job: Job, **query: str) -> list[list[str]]:
    return list(
        csv.reader(io.StringIO(body_of(client.get(f"{JOBS}{job.public_id}/results/", query)).decode(), newline=""))
    )


def test_csv_has_every_row_in_order(job: Job, alice: APIClient) -> None:
    header, *rows = read_csv(alice, job)
    assert header[:9] == AGREED
    assert header[-1] == "note"
    assert [row[0] for row in rows] == ["1", "2", "3", "4"]
    assert [row[7] for row in rows] == ["False"] * 4
    assert rows[1][-1] == "'=1+1", "harmless in a spreadsheet"
    assert rows[0][8].startswith("NOT_FOUND")
    assert rows[3][8].startswith("NOT_PROCESSED")


def test_csv_is_an_attachment_with_a_safe_name(job: Job, alice: APIClient) -> None:
    response = alice.get(f"{JOBS}{job.public_id}/results/", headers={"accept": "text/csv"})
    assert response.streaming
    assert response["Content-Type"] == "text/csv; charset=utf-8"
    assert response["Content-Disposition"] == 'attachment; filename="M-rz-report-results.csv"'
    assert response["Cache-Control"] == "no-store"
    assert response["X-Content-Type-Options"] == "nosniff"
    assert body_of(response).startswith(b"row,claim_number,"), "no byte order mark before the first name"


@pytest.mark.parametrize(
    ("outcome", "rows"),
    [
        ("failed", "2"),
        ("unprocessed", "4"),
        ("not_found,rejected", "13"),
        ("ok", ""),
        ("", "1234"),
        (" failed , rejected ", "23"),
    ],
)
def test_outcomes(job: Job, alice: APIClient, outcome: str, rows: str) -> None:
    assert "".join(row[0] for row in read_csv(alice, job, outcome=outcome)[1:]) == rows


@pytest.mark.parametrize(
    "query",
    [
        {"outcome": "good"},
        {"outcome": "ok,good"},
        {"export": "pdf"},
        {"export": "json", "page": "0"},
        {"export": "json", "page_size": "x"},
    ],
)
def test_unknown_words_are_400(job: Job, alice: APIClient, query: dict[str, str]) -> None:
    response = alice.get(f"{JOBS}{job.public_id}/results/", query)
    assert (response.status_code, response.json()["code"]) == (400, "bad_option")


def test_xlsx(job: Job, alice: APIClient) -> None:
    response = alice.get(f"{JOBS}{job.public_id}/results/", {"export": "xlsx", "outcome": "failed,rejected"})
    assert response["Content-Disposition"] == 'attachment; filename="M-rz-report-results.xlsx"'
    data = body_of(response)
    assert ZipFile(io.BytesIO(data)).testzip() is None
    header, *rows = CalamineWorkbook.from_filelike(io.BytesIO(data)).get_sheet_by_index(0).to_python()
    assert header[:9] == AGREED
    assert [str(row[1]) for row in rows] == ["C1002", "C1003"]


def test_json(job: Job, alice: APIClient) -> None:
    address = f"{JOBS}{job.public_id}/results/"
    first = alice.get(address, {"export": "json", "page_size": 3}).json()
    assert (first["count"], first["previous"]) == (4, None)
    assert [row["outcome"] for row in first["results"]] == ["not_found", "failed", "rejected"]
    assert first["results"][0]["values"]["claim_number"] == "C1001"
    assert first["results"][0]["success"] is False
    last = alice.get(first["next"]).json()
    assert [row["row"] for row in last["results"]] == [4]
    assert last["next"] is None
    one = alice.get(address, {"export": "json", "outcome": "rejected"}).json()
    assert [row["row"] for row in one["results"]] == [3]
    assert alice.get(address, {"export": "json", "page": 9}).status_code == 404


def test_every_look_is_in_the_trail(job: Job, ada: APIClient) -> None:
    for export in ("csv", "xlsx", "json"):
        body_of(ada.get(f"{JOBS}{job.public_id}/results/", {"export": export}))
    events = AuditEvent.objects.filter(verb="results.read", target_id=str(job.public_id)).order_by("position")
    assert [event.details["export"] for event in events] == ["csv", "xlsx", "json"]
    assert {event.actor_name for event in events} == {"ada@acme.test"}


def test_retry_takes_up_what_failed_and_what_was_left(job: Job, bob: APIClient) -> None:
    response = bob.post(f"{JOBS}{job.public_id}/retry/")
    assert response.status_code == 202, response.content
    body = response.json()
    assert (body["status"], body["retried_rows"], body["retries"]) == ("PROCESSING", 2, 1)
    assert body["outcomes"] == {"ok": 0, "not_found": 1, "rejected": 1, "failed": 0, "unprocessed": 2}
    assert bob.post(f"{JOBS}{job.public_id}/retry/").status_code == 409


def test_cancel(job: Job, bob: APIClient) -> None:
    bob.post(f"{JOBS}{job.public_id}/retry/")
    response = bob.post(f"{JOBS}{job.public_id}/cancel/")
    assert response.status_code == 202
    assert response.json()["status"] in ("CANCELLING", "CANCELLED")
    assert response.json()["cancelled_by"] == "bob@acme.test"
    assert response.json()["cancelled_at"]
    assert bob.post(f"{JOBS}{job.public_id}/cancel/").status_code == 202, "once more does no harm"
    end(job, "COMPLETED")
    assert bob.post(f"{JOBS}{job.public_id}/cancel/").json()["code"] == "wrong_state"


def test_delete(job: Job, bob: APIClient) -> None:
    address = f"{JOBS}{job.public_id}/"
    end(job, "PROCESSING")
    assert (bob.delete(address).status_code, bob.delete(address).json()["code"]) == (409, "wrong_state")
    end(job, "COMPLETED")
    response = bob.delete(address)
    assert (response.status_code, response.content) == (204, b"")
    for path in (address, f"{address}progress/", f"{address}results/"):
        assert bob.get(path).status_code == 404
    assert not Result.objects.filter(job=job).exists()
    assert Job.objects.filter(pk=job.pk).exclude(deleted_at=None).exists(), "the record stays"
    assert AuditEvent.objects.filter(verb="job.delete", target_id=str(job.public_id)).exists()


def test_auditor_reads_and_steers_nothing(job: Job, ada: APIClient) -> None:
    address = f"{JOBS}{job.public_id}/"
    assert ada.get(address).status_code == 200
    answers = [ada.post(f"{address}retry/"), ada.post(f"{address}cancel/"), ada.delete(address)]
    assert [(answer.status_code, answer.json()["code"]) for answer in answers] == [(403, "not_allowed")] * 3
