"""Jobs by API: the list with its filters, one job, its progress."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from rest_framework.test import APIClient

from rowmill.models import Job, Practice
from tests.api.made import make_job, make_upload
from tests.conftest import People

JOBS = "/api/v1/claims/csv-jobs/"
FIELDS = {
    "id", "kind", "status", "final", "file_name", "file_size", "sha256", "upload_id", "celery_task_id", "transaction_code",
    "payer", "practice", "start_date", "end_date", "total_rows", "processed_rows", "success_rows", "failed_rows",
    "outcomes", "percent", "rows_per_minute", "seconds_left", "waiting_reason", "balance", "error_log", "retries",
    "created_at", "created_by", "processing_started_at", "completed_at", "cancelled_at", "cancelled_by", "links",
    "merged",
}  # fmt: skip


def names(response) -> list[str]:
    assert response.status_code == 200, response.content
    return [job["file_name"] for job in response.json()["results"]]


def test_list_is_paged(people: People, alice: APIClient) -> None:
    for number in range(5):
        make_job(people.acme, people.alice, f"{number}.csv")
    first = alice.get(JOBS, {"page_size": 2})
    assert set(first.json()) == {"count", "next", "previous", "results"}
    assert (first.json()["count"], first.json()["previous"], names(first)) == (5, None, ["4.csv", "3.csv"])
    assert names(alice.get(first.json()["next"])) == ["2.csv", "1.csv"]
    for page in (4, 0, "x"):
        assert alice.get(JOBS, {"page_size": 2, "page": page}).status_code == 404


def test_job_has_every_agreed_field(people: People, alice: APIClient) -> None:
    practice = Practice.objects.create(org=people.acme, name="North", tin="990000001")
    job = make_job(people.acme, people.alice, options={"practice_id": practice.pk, "start_date": "2026-01-01"})
    listed = alice.get(JOBS).json()["results"][0]
    shown = alice.get(f"{JOBS}{job.public_id}/").json()
    assert set(shown) == set(listed) == FIELDS
    assert shown["id"] == str(job.public_id)
    assert shown["celery_task_id"]
    assert (shown["status"], shown["payer"], shown["practice"]) == ("COMPLETED", "UHC", str(practice.public_id))
    assert (shown["total_rows"], shown["processed_rows"], shown["success_rows"], shown["failed_rows"]) == (10, 10, 9, 1)
    assert shown["outcomes"] == {"ok": 9, "not_found": 1, "rejected": 0, "failed": 0, "unprocessed": 0}
    assert (shown["percent"], shown["start_date"], shown["end_date"]) == (100.0, "2026-01-01", None)
    assert shown["created_by"] == "alice@acme.test"
    assert datetime.fromisoformat(shown["created_at"]).utcoffset() == timedelta(0)
    assert shown["balance"]["balances"] is True
    for link in shown["links"].values():
        assert alice.options(link).status_code == 200, link


def test_progress(people: People, alice: APIClient) -> None:
    job = make_job(people.acme, people.alice, state="PENDING")
    body = alice.get(f"{JOBS}{job.public_id}/progress/").json()
    assert set(body) == {
        "id", "status", "final", "total_rows", "processed_rows", "success_rows", "failed_rows", "outcomes", "percent",
        "rows_per_minute", "seconds_left", "waiting_reason", "balance", "merged",
    }  # fmt: skip
    assert (body["status"], body["final"], body["percent"]) == ("PENDING", False, 0.0)
    assert body["merged"] is None  # claims are asked for, not merged
    assert body["outcomes"]["unprocessed"] == 10


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"status": "FAILED"}, ["b.csv"]),
        ({"status": "FAILED,PENDING"}, ["c.csv", "b.csv"]),
        ({"search": "A.C"}, ["a.csv"]),
        ({"kind": "claim_status"}, ["c.csv", "b.csv", "a.csv"]),
        ({"kind": "other"}, []),
        ({"created_from": "2026-01-02"}, ["c.csv", "b.csv"]),
        ({"created_to": "2026-01-02"}, ["b.csv", "a.csv"]),
        ({"created_from": "2026-01-02", "created_to": "2026-01-02"}, ["b.csv"]),
        ({"created_from": "2026-01-02T12:00:01Z"}, ["c.csv"]),
        ({"created_to": "2026-01-02T12:00:00+00:00"}, ["a.csv"]),
        ({"ordering": "file_name"}, ["a.csv", "b.csv", "c.csv"]),
        ({"ordering": "-file_name"}, ["c.csv", "b.csv", "a.csv"]),
        ({"ordering": "created_at"}, ["a.csv", "b.csv", "c.csv"]),
        ({"ordering": "total_rows"}, ["c.csv", "b.csv", "a.csv"]),
        ({"ordering": "status"}, ["a.csv", "b.csv", "c.csv"]),
    ],
)
def test_filters_and_order(people: People, alice: APIClient, query: dict[str, str], expected: list[str]) -> None:
    for day, (name, state, rows) in enumerate(
        [("a.csv", "COMPLETED", 30), ("b.csv", "FAILED", 20), ("c.csv", "PENDING", 10)]
    ):
        job = make_job(people.acme, people.alice, name, state=state, rows=rows)
        Job.objects.filter(pk=job.pk).update(created_at=datetime(2026, 1, 1 + day, 12, tzinfo=UTC))
    assert names(alice.get(JOBS, query)) == expected


@pytest.mark.parametrize(
    "query",
    [
        {"status": "DONE"},
        {"created_from": "yesterday"},
        {"ordering": "sha256"},
        {"created_to": "9999-12-31"},
        {"created_from": "2026-02-30"},
    ],
)
def test_senseless_filters_are_400(alice: APIClient, query: dict[str, str]) -> None:
    response = alice.get(JOBS, query)
    assert (response.status_code, response.json()["code"]) == (400, "bad_input")
    assert [error["field"] for error in response.json()["errors"]] == list(query)


def test_list_costs_the_same_for_any_number_of_jobs(people: People, alice: APIClient) -> None:
    def count() -> int:
        with CaptureQueriesContext(
            connection,
        ) as queries:
            assert alice.get(JOBS, {"page_size": 50}).status_code == 200
        return len(queries)

    practice = Practice.objects.create(org=people.acme, name="North", tin="990000001")
    for state in ("COMPLETED", "PROCESSING", "PENDING"):
        make_job(people.acme, people.alice, state=state, options={"practice_id": practice.pk}, cancelled_by=people.bob)
    few = count()
    for state in ("COMPLETED", "PROCESSING", "PENDING") * 6:
        make_job(people.acme, people.alice, state=state, options={"practice_id": practice.pk}, cancelled_by=people.bob)
    assert count() == few


def test_deleted_jobs_are_not_listed(people: People, alice: APIClient) -> None:
    job = make_job(people.acme, people.alice, deleted_at=timezone.now())
    assert names(alice.get(JOBS)) == []
    assert alice.get(f"{JOBS}{job.public_id}/").status_code == 404


def test_others_see_nothing(people: People, charlie: APIClient) -> None:
    job = make_job(people.acme, people.alice)
    assert charlie.get(JOBS).json()["count"] == 0
    assert charlie.get(f"{JOBS}{job.public_id}/").status_code == 404


def test_upload_and_its_findings(people: People, alice: APIClient) -> None:
    upload = make_upload(people.acme, people.alice, "bad.csv", state="REJECTED", findings=3)
    shown = alice.get(f"/api/v1/uploads/{upload.public_id}/").json()
    assert (shown["status"], shown["findings"], shown["file_name"]) == ("REJECTED", 3, "bad.csv")
    assert shown["balance"]["balances"] is True
    findings = alice.get(shown["links"]["findings"], {"page_size": 2}).json()
    assert findings["count"] == 3
    assert [finding["line"] for finding in findings["results"]] == [2, 3]
    assert set(findings["results"][0]) == {
        "code", "severity", "line", "row", "column", "column_name", "byte", "message", "mend", "count",
    }  # fmt: skip


def test_job_links_stand_in_its_upload(people: People, alice: APIClient) -> None:
    job = make_job(people.acme, people.alice)
    assert alice.get(f"/api/v1/uploads/{job.upload.public_id}/").json()["links"]["jobs"] == [f"{JOBS}{job.public_id}/"]
