"""The list of contacts on Postgres: a search looks into its index, an order walks along one."""

from __future__ import annotations

import pytest
from django.db import connection

from rowmill.contacts import browse
from rowmill.contacts.browse import Ask, _sort, find_contacts, list_contacts
from rowmill.contacts.words import Condition
from rowmill.orgs import find_caller
from rowmill.tables import counting
from tests.contacts.made import make_contacts
from tests.early import ON_POSTGRES

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.skipif(not ON_POSTGRES, reason="speaks of a Postgres server: make test-postgres"),
]


@pytest.fixture
def alice(people):
    make_contacts(people.acme, 3000)
    make_contacts(people.other, 3000)
    with connection.cursor() as cursor:
        cursor.execute("SELECT gin_clean_pending_list('contact_search')")
        cursor.execute("ANALYZE rowmill_contact")
    return find_caller(people.alice)


@pytest.mark.parametrize(
    "ask",
    [Ask(search="first1717"), Ask(search="(415) 555-0100"), Ask(search="first17 company", values={"stage": "Cold"})],
)
def test_a_search_looks_into_the_index(alice, ask: Ask):
    plan = find_contacts(alice, ask).explain()
    assert "contact_search" in plan
    assert "Seq Scan" not in plan


@pytest.mark.parametrize(
    ("sort", "index"),
    [("name", "contact_last_name"), ("-company", "contact_company"), ("-added", "Index Scan Backward")],
)
def test_an_order_walks_along_an_index(alice, sort: str, index: str):
    plan = _sort(find_contacts(alice, Ask()), Ask(sort=sort), None, few=False)[:51].explain()
    assert index in plan
    assert "Sort" not in plan


def test_a_walk_that_goes_on_for_long_is_given_up_for_a_sort(alice, monkeypatch):
    ask = Ask(search="first", sort="company")
    whole = list_contacts(alice, ask, size=200)
    tried: list[bool] = []
    monkeypatch.setattr(counting, "EXACT_ROWS", 20)
    monkeypatch.setattr(browse, "WALK_MILLISECONDS", 1)
    monkeypatch.setattr(browse, "_sort", _slowly(tried))
    page = list_contacts(alice, ask, size=200)
    assert tried == [False, True]
    assert [row.pk for row in page.rows] == [row.pk for row in whole.rows]
    assert page.total.word == "more"
    with connection.cursor() as cursor:
        cursor.execute("SHOW statement_timeout")
        assert cursor.fetchone()[0] != "1ms"


def _slowly(tried: list[bool]):
    """Give the walk such that it takes longer than any limit."""

    def sort(found, *args, few):
        tried.append(few)
        walked = found if few else found.filter(Condition("pg_sleep(0.01) IS NOT NULL"))
        return _sort(walked, *args, few=few)

    return sort
