"""The list of contacts: what a search finds, that paging shows each row once, what is told of how many there are."""

from __future__ import annotations

from importlib import import_module

import pytest
from django.db import connection

from rowmill.contacts import browse
from rowmill.contacts.browse import Ask, list_contacts, open_ask, read_ask, seal_ask
from rowmill.contacts.words import index_sql
from rowmill.errors import InputError, NotFound
from rowmill.models import Contact
from rowmill.orgs import find_caller
from rowmill.tables import counting
from rowmill.tables.counting import Total
from tests.contacts.made import make_contact, make_contacts

pytestmark = pytest.mark.django_db


def ids(page) -> list[str]:
    return [row.contact_id for row in page.rows]


def found(caller, **data) -> list[str]:
    return sorted(ids(list_contacts(caller, read_ask(data), size=200)))


@pytest.fixture
def few(people):
    make_contact(
        people.acme, 1, first_name="Ann", last_name="Smith-Jones", company="Acme Süd, Inc.", email="ann.lee@acme.example",
        stage="Do not contact", country="United States", phone_numbers={"first_phone": "+14155550100"},
    )  # fmt: skip
    make_contact(people.acme, 2, first_name="Björn", last_name="O'Neil", company="Globex", industry="Retail")
    make_contact(
        people.acme, 3, first_name="Annika", last_name="100%", company="A_B 3000", email="annika@globex.example",
        phone_numbers={"home_phone": "+4917012345678", "mobile_phone": "+493000"}, seniority="VP",
    )  # fmt: skip
    make_contact(people.other, 4, first_name="Ann", last_name="Smith", company="Acme", stage="Do not contact")


@pytest.mark.parametrize(
    ("search", "numbers"),
    [
        ("ann", [1, 3]),
        ("ANN smi", [1]),
        ("jones", [1]),
        ("smith-jones", [1]),
        ("acme", [1]),
        ("inc.", [1]),
        ("ann.lee@acme.example", [1]),
        ("ann@acme", []),
        ("@globex.example", [3]),
        ("globex", [2, 3]),
        ("o'neil", [2]),
        ("bjö", [2]),
        ("BJÖRN", [2]),
        ("100%", [3]),
        ("%", []),
        ("_", []),
        ("a_b", [3]),
        ("axb", []),
        ("mith", []),
        ("(415) 555-0100", [1]),
        ("+1 415 555 0100", [1]),
        ("555-0100", [1]),
        ("0100", [1]),
        ("0170 12345678", [3]),
        ("415 555", []),
        ("3000", [3]),
        ("'", [1, 2, 3]),
        ("\\' | & !", []),
        ("ann \x00", [1, 3]),
        ("nobody", []),
    ],
)
def test_a_search_finds_the_beginnings_of_words_and_the_ends_of_numbers(alice, few, search: str, numbers: list[int]):
    assert found(alice, search=search) == [f"K{n}" for n in numbers]


def test_values_are_compared_whole_and_without_case(alice, few):
    assert found(alice, stage="do NOT contact") == ["K1"]
    assert found(alice, stage="do not") == []
    assert found(alice, country="United States", search="ann") == ["K1"]
    assert found(alice, seniority="vp") == ["K3"]
    assert found(alice, industry="retail", email="without") == ["K2"]
    assert found(alice, email="with") == ["K1", "K3"]


def test_capitals_beyond_ascii_do_not_matter(alice, people):
    make_contact(people.acme, 1, last_name="ÜNAL", country="Österreich")
    assert found(alice, search="ünal") == found(alice, search="Ünal") == ["K1"]
    assert found(alice, country="ÖSTERREICH") == found(alice, country="österreich") == ["K1"]


def test_every_row_is_shown_once_while_others_come_and_go(alice, people):
    make_contacts(people.acme, 60)
    make_contacts(people.other, 5, first=500)
    there = {f"K{n}" for n in range(1, 61)}
    for sort in browse.SORT_WORDS:
        ask, cursor, seen, turn = Ask(sort=sort), "", [], 0
        while True:
            page = list_contacts(alice, ask, cursor=cursor, size=7)
            seen += ids(page)
            turn += 1
            make_contacts(people.acme, 2, first=1000 + 2 * turn)
            if not page.next:
                break
            cursor = page.next
        stayed = [one for one in seen if one in there]
        assert len(seen) == len(set(seen)), sort
        assert set(stayed) == there, sort
        Contact.objects.exclude(contact_id__in=there).filter(org=people.acme).delete()


@pytest.mark.parametrize("sort", browse.SORT_WORDS)
def test_going_back_shows_the_same_pages(alice, people, sort):
    make_contacts(people.acme, 23)
    ask = Ask(sort=sort, email="with")
    pages = [list_contacts(alice, ask, size=5)]
    while pages[-1].next:
        pages.append(list_contacts(alice, ask, cursor=pages[-1].next, size=5))
    assert sum(len(page.rows) for page in pages) == 18
    assert pages[0].previous == ""
    page = pages[-1]
    for before in reversed(pages[:-1]):
        page = list_contacts(alice, ask, cursor=page.previous, size=5)
        assert (ids(page), page.first) == (ids(before), before.first)
    assert (page.previous, page.first) == ("", 1)


def test_a_place_shows_no_cell_and_fits_its_own_search_only(alice, people):
    make_contacts(people.acme, 9)
    page = list_contacts(alice, Ask(search="last"), size=4)
    assert "last" not in page.next.lower()
    charlie = find_caller(people.charlie)
    for caller, ask, cursor in (
        (alice, Ask(search="last", sort="-name"), page.next),
        (alice, Ask(), page.next),
        (charlie, Ask(search="last"), page.next),
        (alice, Ask(search="last"), page.next[:-4] + "AAAA"),
        (alice, Ask(search="last"), "ä"),
        (alice, Ask(search="last"), seal_ask(alice, Ask())),
    ):
        with pytest.raises(InputError) as told:
            list_contacts(caller, ask, cursor=cursor)
        assert told.value.details["code"] == "bad_cursor"
    ask = Ask(search="Ann", values={"stage": "Cold"}, email="with", sort="-added")
    assert open_ask(alice, seal_ask(alice, ask)) == ask


def test_what_is_asked_for_is_checked(alice, people):
    for data in ({"sort": "title"}, {"email": "perhaps"}):
        with pytest.raises(InputError):
            read_ask(data)
    for job in ("00000000-0000-0000-0000-000000000000", "no-id"):
        with pytest.raises(NotFound):
            list_contacts(alice, Ask(job=job))


def test_many_are_not_counted_one_by_one(alice, people, monkeypatch):
    make_contacts(people.acme, 30)
    assert list_contacts(alice, Ask()).total == Total(30, "exact")
    monkeypatch.setattr(counting, "EXACT_ROWS", 20)
    assert list_contacts(alice, Ask(search="last"), size=10).total == Total(20, "more")
    total = list_contacts(alice, Ask(), size=10).total
    if connection.vendor == "postgresql":
        assert total.word == "about"
        assert total.number > 20
    else:
        assert total == Total(20, "more")
    # Whoever has seen the last page knows how many there are.
    assert list_contacts(alice, Ask(search="last"), size=40).total == Total(30, "exact")
    page = list_contacts(alice, Ask(), size=20)
    assert list_contacts(alice, Ask(), cursor=page.next, size=20).total == Total(30, "exact")


def test_the_values_to_choose_from_are_the_orgs_own(alice, people):
    make_contact(people.acme, 1, stage="Cold", country="Brazil")
    make_contact(people.other, 2, stage="Secret")
    assert browse.sample_values(alice) == {"stage": ["Cold"], "seniority": [], "country": ["Brazil"], "industry": []}


def test_the_index_is_on_what_a_query_asks_for():
    """A query uses an index on an expression only where both are the same."""
    migration = import_module("rowmill.migrations.0009_contact_search")
    assert "".join(migration.LEXEMES.split()) == "".join(index_sql().split())
