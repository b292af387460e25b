"""The kind `claim_status` from rows to result cells, against the simulator."""

from __future__ import annotations

import csv
import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from payersim.testing import Payer, running
from rowmill.claims.pace import Pace
from rowmill.claims.sample import make_claims
from rowmill.claims.workflow import WorkflowEngine
from rowmill.contracts import BatchInfo, Outcome, PayerProfile, Problem, Row
from rowmill.errors import NotFound, Snooze
from rowmill.kinds.claim_status import ClaimStatus
from tests.claims.made import QUICK, ClaimStatusOn, batch, profile, row

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
MORE = [
    "normalized_status",
    "category_code",
    "status_code",
    "total_allowed",
    "patient_responsibility",
    "check_number",
    "attempts",
    "duplicate_of",
]


def settle(kind: ClaimStatus, given: list[Row], of: BatchInfo | None = None) -> dict[int, Outcome]:
    return {outcome.row_number: outcome for outcome in kind.process(of or batch(), given)}


def cells(kind: ClaimStatus, of: Row, outcome: Outcome | None, **options: Any) -> dict[str, str]:
    return dict(zip(kind.result_header, kind.result_cells(of, outcome, options), strict=True))


def test_the_agreed_columns_come_first_and_in_order() -> None:
    assert list(ClaimStatus.result_header) == AGREED + MORE


def test_a_found_claim_as_result_cells(payer: Payer) -> None:
    kind, one = ClaimStatusOn(profile(payer)), row(7, "simpd0042 ")
    outcome = settle(kind, [one])[7]
    assert kind.result_cells(one, outcome, {}) == (
        *("7", "simpd0042 ", "Finalized", "JORDAN SAMPLE", "250.00", "150.00", "02/17/2026", "True", ""),
        *("PAID", "F1", "65", "180.00", "30.00", "CKSIMPD0042", "1", ""),
    )
    assert cells(kind, one, outcome, iso_dates=True)["processed_date"] == "2026-02-17"


@pytest.mark.parametrize(
    ("prefix", "outcome", "code"),
    [
        ("SIMNF", "not_found", "NOT_FOUND"),
        ("SIMID", "rejected", "MEMBER_MISMATCH"),
        ("SIMMM", "rejected", "MULTIPLE_MATCHES"),
        ("SIM40", "rejected", "INVALID_REQUEST"),
        ("SIMFX", "failed", "RETRIES_EXHAUSTED"),
        ("SIMBJ", "failed", "BAD_RESPONSE"),
    ],
)
def test_a_row_that_is_not_ok_says_so_and_shows_nothing(payer: Payer, prefix: str, outcome: str, code: str) -> None:
    kind, one = ClaimStatusOn(profile(payer)), row(1, prefix + "1")
    given = settle(kind, [one])[1]
    assert (given.outcome, given.code) == (outcome, code)
    line = cells(kind, one, given)
    assert line["success"] == "False"
    assert line["error"].startswith(code + ": ")
    assert [line[name] for name in ("status", "patient_name", "total_charged", "total_paid", "processed_date")] == [
        ""
    ] * 5


@pytest.mark.parametrize(
    "prefix", ["SIMDU", "SIM2M", "SIMP3", "SIMMX", "SIMNL", "SIMUC", "SIM29", "SIM50", "SIM41", "SIMCU"]
)
def test_oddities_that_end_well(payer: Payer, prefix: str) -> None:
    assert settle(ClaimStatusOn(profile(payer)), [row(1, prefix + "1")])[1].outcome == "ok"


def test_an_amount_the_payer_did_not_give_is_empty_and_not_zero(payer: Payer) -> None:
    kind, one = ClaimStatusOn(profile(payer)), row(1, "SIMMX1")
    line = cells(kind, one, settle(kind, [one])[1])
    assert (line["total_charged"], line["total_paid"], line["success"]) == ("", "150.00", "True")


def test_a_row_without_a_result() -> None:
    line = cells(ClaimStatus(), row(3, "C3"), None)
    assert (line["row"], line["claim_number"], line["success"], line["attempts"]) == ("3", "C3", "False", "")
    assert line["error"] == "NOT_PROCESSED: This row was not processed."


def test_the_answer_is_plain_json_with_iso_dates(payer: Payer) -> None:
    outcome = settle(ClaimStatusOn(profile(payer)), [row(1, "SIMSP1")])[1]
    answer = json.loads(json.dumps(dict(outcome.answer)))
    assert answer["normalized_status"] == "MULTIPLE"
    assert answer["processed_date"] == "2026-02-17"
    assert [part["category_code"] for part in answer["parts"]] == ["F1", "F2"]


def test_the_same_claim_twice_is_asked_once(payer: Payer) -> None:
    same = [row(1, "SIMPD1"), row(2, " SIMPD1"), row(3, "SIMPD1", last_name="Else")]
    found = settle(ClaimStatusOn(profile(payer)), same)
    assert payer.stats()["inquiries"] == 2
    assert found[2].answer["duplicate_of"] == 1
    assert "duplicate_of" not in found[3].answer


def test_the_same_claim_in_two_batches_is_asked_once(payer: Payer) -> None:
    kind, of = ClaimStatusOn(profile(payer)), batch()
    first = settle(kind, [row(1, "SIMPD1"), row(2, "SIMFX2")], of)
    second = settle(kind, [row(501, "SIMPD1"), row(502, "SIMPD7")], of)
    assert (first[1].outcome, second[501].outcome) == ("ok", "ok")
    assert second[501].answer["duplicate_of"] == 1
    assert "duplicate_of" not in second[502].answer
    assert payer.stats(claims=True)["calls_by_claim"]["SIMPD1"] == 1
    assert cells(kind, row(501, "SIMPD1"), second[501])["duplicate_of"] == "1"


def test_another_job_asks_anew_and_a_failure_is_never_shared(payer: Payer) -> None:
    kind = ClaimStatusOn(profile(payer))
    settle(kind, [row(1, "SIMPD1")], batch())
    assert "duplicate_of" not in settle(kind, [row(1, "SIMPD1")], batch())[1].answer
    of = batch()
    assert settle(kind, [row(1, "SIMFX2")], of)[1].outcome == "failed"
    payer.control("heal", {"on": True})
    healed = settle(kind, [row(2, "SIMFX2")], of)[2]
    assert (healed.outcome, "duplicate_of" in healed.answer) == ("ok", False)


def test_dates_of_the_row_before_dates_of_the_job(payer: Payer) -> None:
    kind = ClaimStatusOn(profile(payer))
    of = batch(options={"start_date": "2026-01-01", "end_date": "2026-02-01"})
    own = row(2, "SIMDR2", first_service_date="02/15/2024", last_service_date="2024-03-15")
    found = settle(kind, [row(1, "SIMDR1"), own], of)
    assert found[1].code == "NOT_FOUND_IN_DATE_RANGE"
    assert found[1].answer["searched_from"] == "2026-01-01"
    assert found[2].outcome == "ok"


def test_a_date_the_checks_let_through_by_mistake_rejects_its_row(payer: Payer) -> None:
    outcome = settle(ClaimStatusOn(profile(payer)), [row(1, "SIMPD1", date_of_birth="the ides")])[1]
    assert (outcome.outcome, outcome.code) == ("rejected", "INVALID_INPUT")
    assert "ides" not in outcome.message
    assert payer.stats()["inquiries"] == 0


@pytest.mark.parametrize("options", [{"transaction_code": "CLAIM_DETAILS"}, {"payer": "NOBODY"}])
def test_what_cannot_be_asked_is_unsupported(payer: Payer, options: dict[str, str]) -> None:
    outcome = settle(ClaimStatusOn(profile(payer)), [row(1, "SIMPD1")], batch(options=options))[1]
    assert (outcome.row_number, outcome.outcome, outcome.code) == (1, "rejected", "UNSUPPORTED")


def test_each_account_is_opened_once_and_unknown_ones_reject_their_rows(
    payer: Payer, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[tuple[Any, ...]] = []

    def open_profile(org_id: int, code: str, *, tin: Any, practice_id: Any, payer_id: Any) -> PayerProfile:
        opened.append((org_id, code, tin, practice_id, payer_id))
        if tin == "009999999":
            raise NotFound("No practice of this org has this TIN.", code="UNKNOWN_TIN")
        if payer_id == "00000":
            raise NotFound("No payer account of this org has this payer ID.", code="UNKNOWN_PAYER")
        if payer_id == "LATER":
            raise Snooze(60, "There is no payer account.")
        return profile(payer, tin=tin or "001234567")

    monkeypatch.setattr("rowmill.claims.workflow.open_profile", open_profile)
    given = [row(n, f"SIMPD{n}") for n in range(1, 6)]
    given += [row(n, f"SIMPD{n}", tin="001111111") for n in range(6, 9)]
    given += [
        row(9, "SIMPD9", tin="009999999"),
        row(10, "SIMPD10", payer_id="00000"),
        row(11, "SIMPD11", payer_id="LATER"),
    ]
    found: dict[int, Outcome] = {}

    def work() -> None:
        for outcome in ClaimStatus().process(batch(options={"practice_id": 5}), given):
            found[outcome.row_number] = outcome

    with pytest.raises(Snooze) as caught:
        work()
    assert caught.value.reason == "There is no payer account."
    assert [found[n].outcome for n in range(1, 9)] == ["ok"] * 8
    assert (found[9].code, found[10].code) == ("UNKNOWN_TIN", "UNKNOWN_PAYER")
    assert 11 not in found
    assert opened == [
        (1, "UHC", None, 5, None),
        (1, "UHC", "001111111", None, None),
        (1, "UHC", "009999999", None, None),
        (1, "UHC", None, 5, "00000"),
        (1, "UHC", None, 5, "LATER"),
    ]
    assert payer.stats()["tokens_issued"] == 1, "practices of one account share its token"


def test_wrong_credentials_snooze_and_are_told_once_mended_all_goes_on(payer: Payer) -> None:
    kind, of, given = (
        ClaimStatusOn(profile(payer, client_secret="wrong")),
        batch(),
        [row(n, f"SIMPD{n}") for n in range(1, 30)],
    )
    with pytest.raises(Snooze) as caught:
        settle(kind, given, of)
    assert caught.value.reason == "UHC refuses our credentials. Check them under Settings, payer accounts."
    assert kind.told == ["AUTH_FAILED"]
    assert payer.stats()["tokens_refused"] == 1
    kind.given = profile(payer)
    assert len(settle(kind, given, of)) == 29
    assert payer.stats()["tokens_issued"] == 1, "all calls go through one new connector"


def test_a_refused_account_is_marked(payer: Payer, monkeypatch: pytest.MonkeyPatch) -> None:
    marked: list[tuple[int, str]] = []
    monkeypatch.setattr(
        "rowmill.claims.accounts.mark_broken", lambda account_id, code: marked.append((account_id, code))
    )

    class Telling(ClaimStatusOn):
        tell_refused = ClaimStatus.tell_refused

    with pytest.raises(Snooze):
        settle(Telling(profile(payer, account_id=77, client_secret="wrong")), [row(1, "SIMPD1")])
    assert marked == [(77, "AUTH_FAILED")]


def test_other_spellings_of_headers_are_known() -> None:
    def plain(text: str) -> str:
        return "".join(char for char in text.casefold() if char not in " -_")

    spellings = {
        plain(alias): column.name for column in ClaimStatus.columns for alias in (column.name, *column.aliases)
    }
    for header, name in {
        "Claim #": "claim_number",
        "Claim No": "claim_number",
        "Member ID": "subscriber_id",
        "DOB": "date_of_birth",
        "Birth Date": "date_of_birth",
        "Patient First Name": "first_name",
        "Patient Last Name": "last_name",
    }.items():
        assert spellings[plain(header)] == name
    total = sum(len({plain(column.name), *map(plain, column.aliases)}) for column in ClaimStatus.columns)
    assert len(spellings) == total, "no spelling stands for two columns"


# ------------------------------------------------------------------------------------------------ all at once


def read_sample(folder: Path, count: int) -> tuple[list[Row], dict[int, dict[str, Any]], Path]:
    """Make a file with its book; gives rows as the engine would, what is expected of each, and the book."""
    table, book = folder / "claims.csv", folder / "book.jsonl"
    make_claims(count, 42, table, book)
    expected = {line["row"]: line for line in map(json.loads, book.read_text().splitlines())}
    with table.open(newline="") as source:
        records = list(csv.DictReader(source))
    rows = []
    for number, record in enumerate(records, 1):
        bad = expected[number]["expect"]["code"] == "INVALID_INPUT"
        plain = row(number, **{name: cell for name, cell in record.items() if name != "clinic_note"})
        rows.append(replace(plain, problems=(Problem("broken", "date_of_birth"),) if bad else ()))
    return rows, expected, book


def test_a_thousand_rows_of_a_hostile_payer_come_out_as_the_book_says(tmp_path: Path) -> None:
    rows, expected, book = read_sample(tmp_path, 1000)
    limits = replace(QUICK, in_flight=40, read_timeout_seconds=30.0)
    with running("hostile", book=book, in_flight_cap=40) as payer:
        kind = ClaimStatusOn(profile(payer, limits=limits))
        with ThreadPoolExecutor(4) as threads:
            found = list(
                threads.map(lambda start: list(kind.process(batch(), rows[start : start + 250])), range(0, 1000, 250))
            )
        stats = payer.stats()
    outcomes = [outcome for one in found for outcome in one]
    assert sorted(outcome.row_number for outcome in outcomes) == list(range(1, 1001))
    for outcome in outcomes:
        want = expected[outcome.row_number]["expect"]
        line = cells(kind, rows[outcome.row_number - 1], outcome, iso_dates=True)
        have = {"outcome": outcome.outcome, "code": outcome.code, **{name: line[name] for name in want if name in line}}
        # This payer shouts or whispers names now and then; the results show the payer's words.
        assert {k: v.casefold() for k, v in have.items()} == {k: v.casefold() for k, v in want.items()}
    assert stats["max_in_flight"] <= 40
    assert stats["cap_exceeded"] == 0
    assert stats["tokens_issued"] <= 6


class TwoPractices(ClaimStatusOn):
    """The claims kind, asking for two practices through one account."""

    def make_engine(self, provider_code: str, transaction_code: str, practice: Any, **options: Any) -> WorkflowEngine:
        return WorkflowEngine(provider_code, transaction_code, profile=replace(self.given, tin=practice or "001234567"))


def test_an_account_that_was_edited_is_not_used_as_it_was(payer: Payer) -> None:
    """What another practice's rows opened before the edit brings back neither the old limits nor the old secret."""
    kind = TwoPractices(profile(payer, account_id=4711, limits=replace(QUICK, in_flight=3)))
    settle(kind, [row(1, "SIMPD1", tin="111111111"), row(2, "SIMPD2", tin="222222222")])
    kind.given = replace(kind.given, limits=replace(QUICK, in_flight=7), client_id="another")
    list(kind.place_rows(batch(), [row(1, "SIMPD1", tin="111111111")]))
    (pace,) = {opened.pace for opened in kind._opened.values()}
    ClaimStatus.tell_refused(kind, batch(), Pace(QUICK), "AUTH_FAILED")
    assert pace.limits.in_flight == 7
    assert {opened.engine.profile.client_id for opened in kind._opened.values()} == {"another"}
    assert {opened.engine.profile.tin for opened in kind._opened.values()} == {"111111111", "222222222"}


def test_rows_of_the_interactive_lane_go_first(payer: Payer) -> None:
    firsts: list[bool] = []

    class Watched(Pace):
        async def enter(self, *, first: bool = False) -> None:
            firsts.append(first)
            await super().enter(first=first)

    class Watching(ClaimStatusOn):
        def place_rows(self, of: BatchInfo, rows: Any) -> Any:
            return ((one, watched) for one, _ in list(super().place_rows(of, rows)))

    watched = Watched(QUICK)
    kind = Watching(profile(payer))
    settle(kind, [row(1, "SIMPD1")])
    settle(kind, [row(1, "SIMPD2")], replace(batch(), lane="interactive"))
    assert firsts == [False, True]
