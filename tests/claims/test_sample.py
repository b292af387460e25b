"""The sample maker: same seed same bytes, all outcomes there, and a book that the simulator answers by."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from payersim.testing import running
from rowmill.claims.sample import HEADER, impossible_npi, impossible_tin, luhn_digit, make_claims
from tests.payersim.asking import Told, ask


def made(rows: int, seed: int = 1) -> tuple[list[dict[str, str]], list[dict[str, Any]]]:
    table, book = io.BytesIO(), io.BytesIO()
    make_claims(rows, seed, table, book)
    read = csv.DictReader(io.StringIO(table.getvalue().decode(), newline=""))
    return list(read), [json.loads(line) for line in book.getvalue().splitlines()]


def test_same_seed_same_bytes(tmp_path: Path) -> None:
    first, second, alone, other = (io.BytesIO() for _ in range(4))
    book = io.BytesIO()
    make_claims(300, 5, first, book)
    make_claims(300, 5, tmp_path / "claims.csv", tmp_path / "book.jsonl")
    make_claims(300, 5, alone)
    make_claims(300, 6, other)
    make_claims(300, 5, second)
    assert first.getvalue() == second.getvalue() == alone.getvalue() == (tmp_path / "claims.csv").read_bytes()
    assert book.getvalue() == (tmp_path / "book.jsonl").read_bytes()
    assert first.getvalue() != other.getvalue()


@pytest.mark.parametrize("rows", [0, 1, 7, 100, 250])
def test_a_line_of_the_book_for_every_row(rows: int) -> None:
    cells, lines = made(rows)
    assert len(cells) == len(lines) == rows
    assert [line["row"] for line in lines] == list(range(1, rows + 1))
    assert [line["claim_number"] for line in lines] == [row["claim_number"] for row in cells]


@pytest.mark.parametrize("seed", range(5))
def test_a_hundred_rows_have_every_outcome(seed: int) -> None:
    _, lines = made(100, seed)
    outcomes = Counter(line["expect"]["outcome"] for line in lines)
    codes = {line["expect"]["code"] for line in lines}
    assert outcomes == {"ok": 86, "not_found": 6, "rejected": 6, "failed": 2}
    assert codes == {"", "NOT_FOUND", "INVALID_INPUT", "MEMBER_MISMATCH", "MULTIPLE_MATCHES", "RETRIES_EXHAUSTED"}
    assert {"paid", "denied", "pending", "info_requested", "split", "masked_amount"} <= {x["scenario"] for x in lines}


def test_counts_are_given() -> None:
    assert make_claims(200, 1, io.BytesIO()) == {"ok": 172, "not_found": 12, "rejected": 12, "failed": 4}


def test_progress_is_told_every_thousand_rows() -> None:
    told: list[int] = []
    make_claims(2500, 1, io.BytesIO(), on_progress=told.append)
    assert told == [1000, 2000]


def test_cells_show_what_files_have() -> None:
    cells, _ = made(500)
    assert tuple(cells[0]) == HEADER
    assert {"/" in row["date_of_birth"] for row in cells} == {True, False}
    assert any(row["claim_number"].startswith("00") for row in cells)
    assert all(row["subscriber_id"].startswith("SIM") for row in cells)
    notes = [row["clinic_note"] for row in cells]
    assert {note[0] for note in notes if note[:1] in "=+-@" and note} == set("=+-@")
    assert any('"' in note for note in notes)
    assert any(not note.isascii() for note in notes)


def test_some_claims_come_twice_cell_for_cell() -> None:
    cells, lines = made(200)
    claims = Counter(tuple(list(row.values())[:5]) for row in cells)
    assert 2 <= sum(n - 1 for n in claims.values()) <= 4
    answers: dict[str, Any] = {}
    for line in lines:
        assert answers.setdefault(line["claim_number"], line["answer"]) == line["answer"]


def test_bad_cells_are_bad_and_the_others_good() -> None:
    cells, lines = made(1000)
    for row, line in zip(cells, lines, strict=True):
        sound = is_birth_date(row["date_of_birth"]) and "#" not in row["claim_number"]
        assert sound == (line["expect"]["code"] != "INVALID_INPUT")


def is_birth_date(text: str) -> bool:
    month, day, year = text.split("/") if "/" in text else (*text.split("-")[1:], text.split("-")[0])
    try:
        return date(int(year), int(month), int(day)) < date(2026, 1, 1)
    except ValueError:
        return False


def member_of(claim: dict[str, Any]) -> tuple[str, ...]:
    member = claim["member"]
    return member["firstName"], member["lastName"], member["subscriberId"]


def judge(row: dict[str, str], told: Told) -> str:
    """Say what a plain reading of the payer's answer makes of the row."""
    if told.status != 200 or b'"errors"' in told.body:
        return "RETRIES_EXHAUSTED"
    distinct = {json.dumps(claim, sort_keys=True): claim for claim in told.claims}.values()
    own = [c for c in distinct if member_of(c) == (row["first_name"], row["last_name"], row["subscriber_id"])]
    if not distinct:
        return "NOT_FOUND"
    return "MEMBER_MISMATCH" if not own else "" if len(own) == 1 else "MULTIPLE_MATCHES"


def test_simulator_answers_as_the_book_expects(tmp_path: Path) -> None:
    book = tmp_path / "book.jsonl"
    make_claims(200, 3, tmp_path / "claims.csv", book)
    cells, lines = made(200, 3)
    with running("calm", book=book) as payer:
        told = [ask_well(payer, line) for line in lines]
        stats = payer.stats()
    for row, line, answer in zip(cells, lines, told, strict=True):
        if line["expect"]["code"] == "INVALID_INPUT":
            continue
        assert judge(row, answer) == line["expect"]["code"], line["row"]
        if line["expect"]["outcome"] == "ok":
            assert_amounts(line["expect"], row, answer)
    assert stats["most_calls_for_a_claim"] <= 9


def ask_well(payer: Any, line: dict[str, Any]) -> Told:
    tries = 3 if line["answer"].get("times") else 1
    return ask(payer, *[line["claim_number"]] * tries)[-1]


def assert_amounts(expect: dict[str, str], row: dict[str, str], told: Told) -> None:
    [claim] = [c for c in told.claims if c["member"]["subscriberId"] == row["subscriber_id"]][:1]
    amounts, events = claim["claimLevelTotalAmount"], claim["claimEvents"]
    charged = amounts["totalBilledChargeAmount"]
    assert expect["status"] == claim["claimStatus"]
    assert expect["total_charged"] == ("" if "X" in charged else charged)
    assert expect["total_paid"] == (amounts["totalPaidAmount"] or "")
    assert expect["patient_name"] == f"{row['first_name']} {row['last_name']}"
    month, day, year = (events["processedDate"] or "//").split("/")
    assert expect["processed_date"] == (f"{year}-{month}-{day}" if year else "")


@pytest.mark.parametrize("seed", range(20))
def test_numbers_of_the_practice_cannot_exist(seed: int) -> None:
    tin, npi = impossible_tin(seed), impossible_npi(seed)
    assert (len(tin), tin[:2], tin.isdigit()) == (9, "00", True)
    assert (len(npi), npi.isdigit()) == (10, True)
    assert str(luhn_digit("80840" + npi[:9])) != npi[9]


def test_luhn_digit_of_a_published_example() -> None:
    # CMS's own example: 123456789 gets the check digit 3.
    assert luhn_digit("80840123456789") == 3
