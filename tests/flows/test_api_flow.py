"""The main job by API, over real HTTP: sign in, send claims, watch, fetch a result for every row, cancel, retry, delete."""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import duckdb
import pytest
import xlsxwriter

from payersim.testing import Payer, running
from rowmill.claims.call_loop import close_calls
from rowmill.claims.credentials import save_account
from rowmill.claims.practices import save_practice
from rowmill.claims.sample import make_claims
from rowmill.models import PayerAccount, Practice, Upload
from rowmill.orgs import find_caller
from rowmill.uploads.places import get_storage, table_key
from tests.conftest import People
from tests.flows.http import Api, serving

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]
JOBS = "/api/v1/claims/csv-jobs/"
ROWS = 120


@pytest.fixture
def payer(tmp_path: Path) -> Iterator[Payer]:
    with (tmp_path / "claims.csv").open("wb") as out, (tmp_path / "book.jsonl").open("wb") as book:
        make_claims(ROWS, 7, out, book)
    with running("calm", tmp_path / "book.jsonl") as payer:
        yield payer
    close_calls()


@pytest.fixture
def book(payer: Payer, tmp_path: Path) -> list[dict]:
    return [json.loads(line) for line in (tmp_path / "book.jsonl").read_text().splitlines()]


@pytest.fixture
def api(people: People, payer: Payer, settings, tmp_path: Path) -> Iterator[Api]:
    settings.STORAGE_DIR, settings.SCRATCH_DIR = tmp_path / "storage", tmp_path / "scratch"
    settings.ALLOWED_HOSTS = ["127.0.0.1"]
    alice = find_caller(people.alice)
    practice = save_practice(alice, Practice(), name="North", tin="990000001")
    save_account(
        alice,
        PayerAccount(),
        {
            "payer": "UHC",
            "practice": str(practice.public_id),
            "payer_id": "87726",
            "base_url": payer.base_url,
            "token_url": payer.token_url,
            "environment": "",
            "calls_per_minute": 0,
            "in_flight": 10,
            "client_id": payer.client_id,
            "client_secret": payer.client_secret,
        },
    )
    with serving() as api:
        yield api


@pytest.fixture
def claims(payer: Payer, tmp_path: Path) -> bytes:
    return (tmp_path / "claims.csv").read_bytes()


def read_results(api: Api, job: str, query: str = "") -> list[dict[str, str]]:
    answer = api.get(f"{JOBS}{job}/results/{query}")
    assert answer.status == 200, answer.body
    return list(csv.DictReader(io.StringIO(answer.body.decode(), newline="")))


def as_workbook(claims: bytes) -> bytes:
    """Give the claims as a person keeps them in Excel: a title above, real dates, a cover sheet in front."""
    out = io.BytesIO()
    with xlsxwriter.Workbook(out, {"in_memory": True}) as book:
        book.add_worksheet("Cover").write_string(0, 0, "Claims of March")
        sheet = book.add_worksheet("Claims")
        sheet.write_string(0, 0, "Claims of March")
        day = book.add_format({"num_format": "mm/dd/yyyy"})
        for number, cells in enumerate(csv.reader(io.StringIO(claims.decode(), newline="")), 2):
            for column, cell in enumerate(cells):
                try:
                    sheet.write_datetime(number, column, datetime.strptime(cell, "%Y-%m-%d"), day)
                except ValueError:
                    sheet.write_string(number, column, cell)
    return out.getvalue()


def test_a_workbook_in_and_a_result_for_every_row_out(api: Api, claims: bytes, book: list[dict]) -> None:
    bob = api.sign_in("bob@acme.test")
    data = as_workbook(claims)
    refused = bob.upload(data, "claims.xlsx")
    assert refused.status == 400, "the first sheet with data is the cover"
    sent = bob.upload(gzip.compress(data), "claims.xlsx.gz", sheet="claims")
    assert sent.status == 201, sent.body
    job = sent.json["id"]
    done = bob.wait(job)
    expected = Counter(line["expect"]["outcome"] for line in book)
    assert {word: count for word, count in done["outcomes"].items() if count} == dict(expected)
    assert (done["balance"]["balances"], done["balance"]["rows_balance"]) == (True, True)
    rows = read_results(bob, job)
    assert [int(row["row"]) for row in rows] == list(range(1, ROWS + 1))
    for row, line in zip(rows, book, strict=True):
        assert row["claim_number"] == line["claim_number"]
        assert row["error"].split(":")[0] == line["expect"]["code"]
    upload = Upload.objects.get(jobs__public_id=job)
    assert upload.inspection["sheet"] == "Claims"
    with duckdb.connect() as con:
        path = get_storage().local_path(table_key(upload))
        lines = con.execute("SELECT line_number FROM read_parquet(?) ORDER BY row_number", [str(path)]).fetchall()
    assert [line for (line,) in lines] == list(range(4, ROWS + 4)), "as Excel numbers its rows"


def test_a_file_in_and_a_result_for_every_row_out(api: Api, people: People, claims: bytes, book: list[dict]) -> None:
    bob = api.sign_in("bob@acme.test")
    sent = bob.upload(claims)
    assert sent.status == 201, sent.body
    job = sent.json["id"]
    done = bob.wait(job)
    expected = Counter(line["expect"]["outcome"] for line in book)
    assert done["status"] == "COMPLETED"
    assert {word: count for word, count in done["outcomes"].items() if count} == dict(expected)
    assert done["balance"]["balances"] is True
    assert done["balance"]["rows_balance"] is True
    rows = read_results(bob, job)
    assert [int(row["row"]) for row in rows] == list(range(1, ROWS + 1))
    for row, line in zip(rows, book, strict=True):
        expect = line["expect"]
        assert row["claim_number"] == line["claim_number"]
        assert row["success"] == str(expect["outcome"] == "ok")
        assert (row["total_charged"], row["total_paid"]) == (expect["total_charged"], expect["total_paid"])
        assert row["error"].split(":")[0] == expect["code"]
    ok = read_results(bob, job, "?outcome=ok")
    assert len(ok) == expected["ok"]
    assert len(read_results(bob, job, "?outcome=not_found,rejected,failed")) == ROWS - expected["ok"]
    as_json = bob.get(f"{JOBS}{job}/results/?export=json&page_size=1000").json["results"]
    assert [row["values"]["processed_date"] for row in as_json] == [line["expect"]["processed_date"] for line in book]
    assert bob.upload(claims).json["job"] == job, "the same bytes again"
    charlie = api.sign_in("charlie@other.test")
    assert {charlie.get(f"{JOBS}{job}/{part}").status for part in ("", "progress/", "results/")} == {404}
    assert bob.send("DELETE", f"{JOBS}{job}/").status == 204
    assert bob.get(f"{JOBS}{job}/results/").status == 404


def test_cancel_keeps_what_is_done_and_retry_does_the_rest(
    api: Api, people: People, payer: Payer, claims: bytes, book: list[dict]
) -> None:
    bob = api.sign_in("bob@acme.test")
    payer.control("settings", {"latency_scale": 0.2})
    job = bob.upload(claims).json["id"]
    bob.wait(job, until=lambda progress: progress["processed_rows"] >= 10)
    assert bob.send("POST", f"{JOBS}{job}/cancel/").status == 202
    stopped = bob.wait(job)
    assert stopped["status"] == "CANCELLED"
    assert 10 <= stopped["processed_rows"] < ROWS
    left = read_results(bob, job, "?outcome=unprocessed")
    assert len(left) == stopped["outcomes"]["unprocessed"]
    assert {row["error"].split(":")[0] for row in left} == {"NOT_PROCESSED"}
    payer.control("settings", {"latency_scale": 0.0})
    retried = bob.send("POST", f"{JOBS}{job}/retry/").json
    assert retried["retried_rows"] >= len(left)
    done = bob.wait(job)
    assert done["status"] == "COMPLETED"
    expected = Counter(line["expect"]["outcome"] for line in book)
    assert {word: count for word, count in done["outcomes"].items() if count} == dict(expected)


def test_wrong_file_over_http(api: Api, people: People) -> None:
    bob = api.sign_in("bob@acme.test")
    answer = bob.upload(b'claim_number,first_name,last_name,date_of_birth,subscriber_id\nC1,"Ann,Oak,1980-01-15,S1\n')
    assert (answer.status, answer.json["code"]) == (400, "unsound_file")
    assert answer.json["findings"][0]["line"] == 2
    huge = bob.upload(b"x" * (11 * 1024 * 1024))
    assert (huge.status, huge.json["code"]) == (413, "too_large")
