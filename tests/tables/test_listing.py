"""A table of one's own: listed, paged, searched by key, told where each row came from, taken home and read back."""

from __future__ import annotations

import re
from decimal import Decimal

import pytest
from django.test import Client

from rowmill.errors import InputError, NotFound
from rowmill.models import AuditEvent, Contact
from rowmill.orgs import find_caller
from rowmill.tables.listing import find_table, list_rows, list_tables, search_key, show_cell, write_cell
from tests.conftest import PASSWORD
from tests.contacts.made import make_contact
from tests.merging.test_merge import counts

pytestmark = pytest.mark.django_db
PAGE, API = "/tables/companies/", "/api/v1/tables/companies/"
ROWS = [(f"C{n:03}", f"Firm {n}", str(n), "") for n in range(1, 8)]


@pytest.fixture
def first(import_companies):
    return import_companies(ROWS)


@pytest.fixture
def alice(people):
    return browser("alice@acme.test")


def browser(email: str) -> Client:
    client = Client()
    assert client.login(email=email, password=PASSWORD)
    return client


def text_of(response) -> str:
    assert response.status_code == 200
    return response.content.decode()


def test_pages_go_on_from_an_id_both_ways(first, people):
    caller, table = find_caller(people.alice), find_table("companies")
    make_contact(people.other, 500)
    seen, before = [], 0
    while True:
        page = list_rows(caller, table, before=before, size=3)
        seen += [row.account_id for row in page.rows]
        if page.older is None:
            break
        before = page.older
    assert seen == [f"C{n:03}" for n in range(7, 0, -1)]
    last = page.rows[0].pk
    assert page.newer == last
    back = list_rows(caller, table, after=last, size=3)
    assert [row.account_id for row in back.rows] == ["C004", "C003", "C002"]
    assert (back.total.number, back.total.word) == (7, "exact")
    assert back.newer is not None
    newest = list_rows(caller, table, after=back.newer, size=3)
    assert [row.account_id for row in newest.rows] == ["C007", "C006", "C005"]
    assert (newest.newer, newest.older) == (None, newest.rows[-1].pk)


def test_a_key_finds_its_row_and_no_other_orgs(first, people):
    table = find_table("companies")
    found = search_key(find_caller(people.ada), table, " C003 ")
    assert [row.company for row in found.rows] == ["Firm 3"]
    assert search_key(find_caller(people.alice), table, "C00").rows == ()
    assert search_key(find_caller(people.charlie), table, "C003").rows == ()
    with pytest.raises(InputError):
        search_key(find_caller(people.alice), table, "x" * 1001)


def test_which_tables_there_are(first):
    assert [table.slug for table in list_tables()] == ["companies"]
    table = find_table("companies")
    assert (table.columns[0], table.keys) == (("account_id", "Account"), ("Account",))
    for slug in ("contact_import", "claim_status", "nothing"):
        with pytest.raises(NotFound):
            find_table(slug)


def test_the_page_tells_where_each_row_came_from(first, import_companies, alice, people):
    second = import_companies([("C002", "Firm Two", "2", ""), ("C100", "Later", "", "")])
    page = text_of(alice.get(PAGE))
    rows = re.findall(r"<tr><th scope=\"row\">.*?</tr>", page, re.DOTALL)
    assert len(rows) == 8
    assert "Later" in rows[0]
    changed = next(row for row in rows if "Firm Two" in row)
    assert f'href="/jobs/{second.public_id}/">c.csv</a>, line 2; first brought by' in changed
    assert f'href="/jobs/{first.public_id}/"' in changed
    assert "8 rows" in page
    assert 'aria-current="page"' in page.partition("<span>Companies</span>")[0].rpartition("<li>")[2]
    brought = text_of(alice.get(f"{PAGE}?import={second.public_id}"))
    assert "Later" in brought
    assert "Firm 1<" not in brought
    job = text_of(alice.get(f"/jobs/{second.public_id}/"))
    assert f'href="{PAGE}?import={second.public_id}"' in job
    assert AuditEvent.objects.filter(verb="table.view").count() == 2


def test_a_search_stands_in_no_address(first, alice, people):
    page = text_of(alice.post(PAGE, {"key": "C003"}))
    assert "1 row found" in page
    assert "Firm 3" in page
    assert "Firm 4" not in page
    assert not [one for one in re.findall(r'(?:href|action)="([^"]*)"', page) if "C003" in one]
    assert "No row has this key" in text_of(alice.post(PAGE, {"key": "C999"}))
    assert not [event for event in AuditEvent.objects.all() if "C003" in f"{event.target_id} {event.details}"]


def test_other_orgs_see_nothing(first, people):
    charlie = browser("charlie@other.test")
    assert "Firm" not in text_of(charlie.get(PAGE))
    assert charlie.get(f"{PAGE}?import={first.public_id}").status_code == 404
    assert charlie.get(f"{API}?import={first.public_id}").status_code == 404
    assert charlie.get(API).json()["results"] == []
    assert charlie.get(f"{PAGE}rows.csv?import={first.public_id}").status_code == 404
    assert b"".join(charlie.get(f"{PAGE}rows.csv").streaming_content).count(b"\n") == 1
    assert Client().get(PAGE).status_code == 302
    assert Client().get(API).status_code == 401


def test_what_cannot_be_is_told(first, alice):
    assert alice.get("/tables/contact_import/").status_code == 404
    assert alice.get("/tables/claim_status/").status_code == 404
    assert alice.get(f"{PAGE}?before=x").status_code == 400
    assert alice.get(f"{API}?before=x").status_code == 400
    assert alice.get(f"{PAGE}?import=nonsense").status_code == 404


def test_an_export_is_read_back_and_changes_nothing(first, import_companies, alice):
    Contact.objects.filter(account_id="C004").update(company="=1+1")
    lines = b"".join(alice.get(f"{PAGE}rows.csv").streaming_content).decode("utf-8-sig").splitlines()
    assert lines[0] == "account,name,staff"
    assert lines[4] == "C004,'=1+1,4"
    again = import_companies([(*line.split(","), "") for line in lines[1:]])
    assert counts(again) == {"inserted": 0, "updated": 0, "unchanged": 7, "duplicates": 0, "rejected": 0}
    event = AuditEvent.objects.get(verb="table.export")
    assert (event.target_id, event.details["rows"]) == ("companies", 7)


def test_by_api(first, people):
    ada = browser("ada@acme.test")
    page = ada.get(f"{API}?page_size=5").json()
    assert (page["count"], page["count_is"], len(page["results"])) == (7, "exact", 5)
    newest = page["results"][0]
    assert newest["values"] == {"account_id": "C007", "company": "Firm 7", "employees": 7}
    assert (newest["created_job"], newest["import_row"], newest["import_line"]) == (str(first.public_id), 7, 8)
    rest = ada.get(f"{API}?before={page['next']}").json()
    assert (len(rest["results"]), rest["next"]) == (2, None)
    found = ada.post(f"{API}search/", {"key": "C005"}, content_type="application/json").json()
    assert [row["values"]["company"] for row in found["results"]] == ["Firm 5"]
    assert b"".join(ada.get(f"{API}rows.csv").streaming_content).startswith(b"account,name,staff\r\nC001,")


def test_without_rows_the_page_leads_to_importing(import_companies, alice):
    page = text_of(alice.get(PAGE))
    assert "Nothing here yet" in page
    assert 'href="/bulk-upload?kind=companies"' in page


def test_values_in_words_and_as_cells():
    assert (show_cell(None), show_cell(True), show_cell({"Colour": "blue", "n": 1})) == (
        "",
        "yes",
        "Colour: blue; n: 1",
    )
    assert (write_cell(True), write_cell(False), write_cell(0)) == ("true", "false", "0")
    assert (write_cell(Decimal("12.500000")), write_cell({}), write_cell({"a": "é"})) == ("12.5", "", '{"a": "é"}')
