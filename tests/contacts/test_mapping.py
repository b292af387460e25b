"""Which column is which field: exports of CRM programs by themselves, the rest by likeness or by hand, then remembered."""

from __future__ import annotations

import pytest

from rowmill.contacts.fields import COLUMNS
from rowmill.contacts.first_rows import read_first_rows
from rowmill.contacts.mapping import current_mapping, match_columns, save_mapping, suggest_mapping, with_samples
from rowmill.contacts.sample import HEADER as APOLLO_SAMPLE
from rowmill.errors import InputError, NotAllowed, StateError
from rowmill.jobs.submit import submit_job
from rowmill.models import Contact, Upload
from rowmill.orgs import find_caller
from rowmill.tabular.header import fold
from rowmill.uploads.inspect import inspect_upload
from rowmill.uploads.receive import begin_upload, finish_upload, receive_whole
from tests.jobs.conftest import work_until_final
from tests.merging.conftest import as_csv

HUBSPOT = (
    "Record ID", "First Name", "Last Name", "Email", "Phone Number", "Mobile Phone Number", "Job Title", "Company Name",
    "Lifecycle Stage", "Contact owner", "City", "State/Region", "Country/Region", "Website URL", "Number of Employees",
    "Annual Revenue", "Industry", "Last Contacted",
)  # fmt: skip
SALESFORCE = (
    "Contact ID", "Account ID", "Account Name", "First Name", "Last Name", "Title", "Department", "Email", "Phone",
    "Mobile", "Home Phone", "Other Phone", "Mailing City", "Mailing State/Province", "Mailing Country", "Contact Owner",
    "Account Owner", "Last Activity", "Billing City", "Billing State/Province", "Employees", "Annual Revenue",
)  # fmt: skip
LINKEDIN = ("First Name", "Last Name", "URL", "Email Address", "Company", "Position")


def test_no_spelling_means_two_fields():
    seen: dict[str, str] = {}
    for column in COLUMNS:
        for spelling in {fold(s) for s in (column.name, *column.aliases)}:
            assert seen.setdefault(spelling, column.name) == column.name, spelling


@pytest.mark.parametrize(("header", "left"), [(APOLLO_SAMPLE, 1), (HUBSPOT, 0), (SALESFORCE, 0), (LINKEDIN, 0)])
def test_exports_map_without_a_hand(header, left):
    matches = match_columns(header, COLUMNS)
    assert [m.header for m in matches if not m.field][:1] == list(header[-left:] if left else [])
    assert {m.how for m in matches if m.field} <= {"name", "alias"}
    fields = [m.field for m in matches if m.field]
    assert len(fields) == len(set(fields)) == len(header) - left


def test_likeness_has_a_confidence_and_never_takes_what_is_taken():
    matches = match_columns(("Email", "Frist Name", "Companie Name", "Emial", "Shoe size"), COLUMNS)
    told = {m.header: (m.field, m.how) for m in matches}
    assert told["Email"] == ("email", "name")
    assert told["Frist Name"] == ("first_name", "likeness")
    assert told["Companie Name"] == ("company", "likeness")
    assert told["Shoe size"] == ("", "")
    assert told["Emial"][0] != "email"
    assert all(0.8 < m.confidence < 1 for m in matches if m.how == "likeness")


@pytest.fixture
def alice(people):
    return find_caller(people.alice)


def take(caller, header, rows) -> Upload:
    upload = begin_upload(caller, "contact_import", "contacts.csv")
    size, sha256 = receive_whole(upload, [as_csv(header, rows)], 1 << 20)
    return inspect_upload(finish_upload(upload, size, sha256))


@pytest.mark.django_db
def test_a_mapping_by_hand_is_what_is_imported_and_is_remembered(alice):
    header = ("Reach by", "Who", "Secret", "Note", "Staff")
    rows = [("a@x.org", "Ann", "s", "n", "11-50"), ("b@x.org", "Bob", "s", "n", "many")]
    upload = take(alice, header, rows)
    assert "email" not in upload.mapping
    save_mapping(alice, upload, {"email": 1, "first_name": 2, "employees": 5}, [3])
    assert [(m.field, m.how, m.ignored) for m in current_mapping(upload)] == [
        ("email", "remembered", False), ("first_name", "remembered", False), ("", "", True), ("", "", False),
        ("employees", "remembered", False),
    ]  # fmt: skip
    sampled = with_samples(upload, current_mapping(upload))
    assert (sampled[0].filled, sampled[0].samples) == (1.0, ("a@x.org", "b@x.org"))
    job = submit_job(upload, alice.user, {"ignored": [3]})
    assert work_until_final(job) == "COMPLETED"
    [ann] = Contact.objects.values("email", "first_name", "employees", "employees_most", "extra")
    assert ann == {
        "email": "a@x.org", "first_name": "Ann", "employees": 11, "employees_most": 50, "extra": {"Note": "n"},
    }  # fmt: skip
    assert job.results.get().message == "employees: this is not a number of things"
    with pytest.raises(StateError):
        save_mapping(alice, upload, {"email": 1})

    again = take(alice, ("REACH_BY", "who", "secret", "note", "staff"), [("c@x.org", "Cleo", "s", "n", "")])
    assert again.mapping == {"email": 1, "first_name": 2, "employees": 5}
    assert [m.how for m in suggest_mapping(again)][:2] == ["remembered", "remembered"]


@pytest.mark.django_db
def test_the_first_rows_are_shown_as_they_would_be_stored(alice):
    upload = take(alice, ("email", "employees"), [(" Ann@X.org ", " 1,200 ")])
    [row] = read_first_rows(upload, upload.mapping)
    assert row.values == {"email": "ann@x.org", "employees": 1200}


@pytest.mark.django_db
def test_what_cannot_be_mapped_is_refused(alice, people):
    upload = take(alice, ("Mail", "Who"), [("a@x.org", "Ann")])
    for mapping in ({"no_such": 1}, {"email": 1, "title": 1}, {"email": 3}):
        with pytest.raises(InputError):
            save_mapping(alice, upload, mapping)
    with pytest.raises(NotAllowed):
        save_mapping(find_caller(people.ada), upload, {"email": 1})


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("header", "field"),
    [
        ("Last Activity Date (EDT)", "last_contacted"),
        ("Last Contacted (UTC+02:00)", "last_contacted"),
        ("Annual Revenue (USD)", "annual_revenue"),
        ("Total Funding (in USD)", "total_funding"),
        ("Mailing State/Province (text only)", "state"),
        ("Record ID - Contact", "contact_id"),
        ("Annual Revenue (converted)", ""),
        ("Title (TEXT)", ""),
    ],
)
def test_a_zone_or_a_currency_in_brackets_is_looked_over(alice, header, field):
    match = match_columns((header, "Shoe"), COLUMNS)[0]
    assert (match.field if match.how in ("name", "alias") else "") == field
    upload = take(alice, (header, "Email"), [("", "a@b.co")])
    assert upload.mapping == {"email": 2} | ({field: 1} if field else {})


def test_a_name_without_brackets_goes_first():
    told = {m.header: m.field for m in match_columns(("Annual Revenue (USD)", "Annual Revenue", "Email"), COLUMNS)}
    assert told == {"Annual Revenue (USD)": "", "Annual Revenue": "annual_revenue", "Email": "email"}
