"""What is found: the prefixes, the book, paging, the selection, and what is not a proper question."""

from __future__ import annotations

import pytest

from payersim.settings import named_profile
from payersim.testing import Payer, running
from tests.payersim.asking import QUERY, Asker, Told, ask, with_asker


def codes(told: Told) -> list[list[str]]:
    return [[part["claim507Code"] for part in claim["claimStatusCrosswalkData"]] for claim in told.claims]


@pytest.mark.parametrize(
    ("number", "status", "expected"),
    [
        ("SIMPD1", "Finalized", [["F1"]]),
        ("SIMDN1", "Finalized", [["F2"]]),
        ("SIMPN1", "Pending", [["P1"]]),
        ("SIMPI1", "Pending", [["P3"]]),
        ("SIMSP1", "Multiple Status", [["F1", "F2"]]),
        ("SIMMM1", "Finalized", [["F1"], ["F1"]]),
        ("SIMDU1", "Finalized", [["F1"], ["F1"]]),
    ],
)
def test_prefix_tells_its_status(calm: Payer, number: str, status: str, expected: list[list[str]]) -> None:
    [told] = ask(calm, number)
    assert told.status == 200
    assert told.headers["X-Simulator"] == "1"
    assert codes(told) == expected
    assert told.claims[0]["claimStatus"] == status
    assert told.claims[0]["claimNumber"] == number


def test_not_found_is_an_empty_list(calm: Payer) -> None:
    for told in ask(calm, "SIMNF1", "NOBODY-TOLD-US"):
        assert told.status == 200
        assert told.page == {"claims": [], "pagination": {"hasMoreRecords": False, "nextPageToken": None}}


def test_split_claim_has_suffixes(calm: Payer) -> None:
    [told] = ask(calm, "SIMSP7")
    parts = told.claims[0]["claimStatusCrosswalkData"]
    assert [(p["adjudicatedClaimSuffixCode"], p["claim507Code"]) for p in parts] == [("01", "F1"), ("02", "F2")]


def test_several_matches_differ_as_their_prefix_says(calm: Payer) -> None:
    different, same, members = ask(calm, "SIMMM1", "SIMDU1", "SIM2M1")
    assert different.claims[0] != different.claims[1]
    assert same.claims[0] == same.claims[1]
    assert len({claim["member"]["subscriberId"] for claim in members.claims}) == 2


def test_claim_of_another_member(calm: Payer) -> None:
    own, other = ask(calm, "SIMPD1", "SIMID1")
    assert own.claims[0]["member"]["subscriberId"] == "SIM000123456"
    assert other.claims[0]["member"]["subscriberId"] == "SIM000987654"


def test_odd_values(calm: Payer) -> None:
    masked, nulls, cased = ask(calm, "SIMMX1", "SIMNL1", "SIMUC1")
    assert masked.claims[0]["claimLevelTotalAmount"]["totalBilledChargeAmount"] == "10XXX.89"
    assert nulls.claims[0]["claimLevelTotalAmount"] == {"totalBilledChargeAmount": None, "totalPaidAmount": None}
    assert nulls.claims[0]["claimEvents"]["processedDate"] is None
    assert cased.claims[0]["member"]["lastName"] == "SaMPLE"


def test_dates_exclude_a_claim(calm: Payer) -> None:
    outside = {"serviceStartDate": "01/01/2026", "serviceEndDate": "03/01/2026"}
    inside = {"serviceStartDate": "02/01/2024", "serviceEndDate": "04/01/2024"}
    [without], [with_other], [with_own] = (
        ask(calm, "SIMDR1"),
        ask(calm, "SIMDR1", **outside),
        ask(calm, "SIMDR1", **inside),
    )
    assert [len(told.claims) for told in (without, with_other, with_own)] == [1, 0, 1]


async def all_pages(asker: Asker, number: str, at_most: int = 6) -> list[Told]:
    pages = [await asker.ask(number)]
    while len(pages) < at_most and (token := pages[-1].page["pagination"]["nextPageToken"]):
        pages.append(await asker.ask(number, page=token))
    return pages


@pytest.mark.parametrize(
    ("number", "counts", "more"),
    [
        ("SIMP31", [1, 1, 1], [True, True, False]),
        ("SIMPG1", [1, 0], [True, False]),
        ("SIMHM1", [1], [True]),
        ("SIMLP1", [1, 1, 1, 1, 1, 1], [True] * 6),
    ],
)
def test_paging(calm: Payer, number: str, counts: list[int], more: list[bool]) -> None:
    pages = with_asker(calm, lambda asker: all_pages(asker, number))
    assert [len(page.claims) for page in pages] == counts
    assert [page.page["pagination"]["hasMoreRecords"] for page in pages] == more


def test_page_token_must_be_one_of_ours(calm: Payer) -> None:
    told = with_asker(calm, lambda asker: asker.ask("SIMP31", page="yesterday"))
    assert (told.status, told.code) == (400, "GRAPHQL_VALIDATION_FAILED")


def test_page_token_gets_old() -> None:
    async def story(asker: Asker) -> list[Told]:
        token = (await asker.ask("SIMP31")).page["pagination"]["nextPageToken"]
        young = await asker.ask("SIMP31", page=token)
        asker.payer.control("advance", {"seconds": 86_500})
        await asker.get_token()
        return [young, await asker.ask("SIMP31", page=token)]

    with running("calm") as payer:
        young, old = with_asker(payer, story)
    assert len(young.claims) == 1
    assert (old.status, old.code) == (400, "LCLM_PS_203")


def test_too_many_results() -> None:
    entry = {"claim_number": "A-1", "answer": {"claims": [{"number": "A-1"}] * 4}}
    with running("calm", max_results=3) as payer:
        payer.load_entries(entry)
        [told] = ask(payer, "A-1")
    assert (told.status, told.code) == (400, "LCLM_PS_306")


def test_only_what_was_selected_is_told(calm: Payer) -> None:
    query = "query Q($i: SearchClaimInput!) { searchClaim(searchClaimInput: $i) { claims { claimNumber } } }"
    told = with_asker(calm, lambda asker: asker.ask("SIMPD1", query=query))
    assert told.page == {"claims": [{"claimNumber": "SIMPD1"}]}


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"query": QUERY},
        {"query": QUERY, "variables": {"searchClaimInput": {"claimNumber": "SIMPD1"}}},
        {"query": QUERY, "variables": {"searchClaimInput": {"payerId": "87726"}}},
        {"query": "{ getDocument { id } }", "variables": {"searchClaimInput": {"payerId": "1", "claimNumber": "1"}}},
        {"query": QUERY.replace("claimStatus", "clamStatus"), "variables": {"searchClaimInput": {}}},
        {
            "query": QUERY,
            "variables": {"searchClaimInput": {"payerId": "1", "claimNumber": "1", "serviceStartDate": "2026-01-01"}},
        },
        {
            "query": QUERY,
            "variables": {
                "searchClaimInput": {
                    "payerId": "1",
                    "claimNumber": "1",
                    "serviceStartDate": "01/01/2026",
                    "serviceEndDate": "06/01/2026",
                }
            },
        },
        [1, 2],
    ],
)
def test_improper_question_is_refused(calm: Payer, body: object) -> None:
    told = with_asker(calm, lambda asker: asker.send(body))
    assert (told.status, told.code) == (400, "GRAPHQL_VALIDATION_FAILED")


def test_provider_tax_id_is_required(calm: Payer) -> None:
    body = {"query": QUERY, "variables": {"searchClaimInput": {"payerId": "87726", "claimNumber": "SIMPD1"}}}
    told = with_asker(calm, lambda asker: asker.send(body, providerTaxId=""))
    assert (told.status, told.code) == (400, "GRAPHQL_VALIDATION_FAILED")


def test_book_goes_before_prefixes_and_the_last_line_counts() -> None:
    line = {"claim_number": "SIMNF1", "answer": {"claims": [{"number": "SIMNF1", "status": "Pending"}]}}
    later = {"claim_number": "A-1", "answer": {"claims": [{"number": "A-1", "status": "Denied"}]}}
    with running("calm") as payer:
        assert payer.load_entries(line, {"claim_number": "A-1", "row": 2}, later) == 2
        told = ask(payer, "simnf1", "A-1", "A-2")
    assert [[claim["claimStatus"] for claim in t.claims] for t in told] == [["Pending"], ["Denied"], []]


def test_claims_are_found_by_member() -> None:
    record = {"number": "A-1", "first": "Ann", "last": "Fen", "dob": "01/02/1980", "sub": "SIM1", "from": "01/05/2026"}
    entries = [
        {"claim_number": "A-1", "answer": {"claims": [record]}},
        {"claim_number": "A-2", "answer": {"claims": [{**record, "number": "A-2", "sub": "SIM2"}]}},
        {"claim_number": "A-3", "answer": {"claims": [{**record, "number": "A-3", "from": "06/05/2025"}]}},
    ]
    dates = {"serviceStartDate": "01/01/2026", "serviceEndDate": "02/01/2026"}
    with running("calm") as payer:
        payer.load_entries(*entries)
        [by_id] = ask(payer, "", memberId="SIM1", memberDateOfBirth="01/02/1980", **dates)
        [by_name] = ask(payer, "", memberLastName="FEN", memberDateOfBirth="01/02/1980", **dates)
        [no_dates] = ask(payer, "", memberId="SIM1", memberDateOfBirth="01/02/1980")
    assert [claim["claimNumber"] for claim in by_id.claims] == ["A-1"]
    assert [claim["claimNumber"] for claim in by_name.claims] == ["A-1", "A-2"]
    assert no_dates.status == 400


def test_unknown_numbers_may_get_the_usual_mix() -> None:
    numbers = [f"X{i}" for i in range(60)]
    with running("calm", unknown="mix") as payer:
        told = ask(payer, *numbers)
        again = ask(payer, *numbers)
    found = [codes(t)[0][0] for t in told if t.claims]
    assert found.count("F1") > 25
    assert {"F1", "F2", "P1"} <= set(found)
    assert [t.body for t in told] == [t.body for t in again]
    assert all(t.claims[0]["claimNumber"] == n for n, t in zip(numbers, told, strict=True) if t.claims)


def test_root_may_have_its_other_name() -> None:
    with running("calm", root="searchClaimResponse") as payer:
        [told] = ask(payer, "SIMPD1")
    assert b'{"data":{"searchClaimResponse":' in told.body


def test_cosmetics_change_nothing_that_matters() -> None:
    numbers = [f"SIMPD{i}" for i in range(40)]
    with running(named_profile("calm", {"cosmetics": 1.0})) as dressed, running("calm") as plain:
        odd, even = ask(dressed, *numbers), ask(plain, *numbers)
    names = {claim["member"]["lastName"] for told in odd for claim in told.claims}
    assert names == {"SAMPLE", "sample"}
    assert any(b"x-vendorNote" in told.body for told in odd)
    for left, right in zip(odd, even, strict=True):
        assert left.claims[0]["claimLevelTotalAmount"] == right.claims[0]["claimLevelTotalAmount"]
