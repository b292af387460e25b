"""How a contact is shown and written: its fields in groups, each value in the words of a page, an export or the API."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from rowmill.contacts.fields import FIELDS
from rowmill.errors import InputError
from rowmill.models import ChosenColumns, Contact
from rowmill.orgs import Caller

LABELS: dict[str, str] = {name: label for name, label, _, _, _ in FIELDS}
FIELD_NAMES: tuple[str, ...] = tuple(LABELS)
# The upper end of a range stands with its lower end.
RANGES = {"employees": "employees_most", "annual_revenue": "annual_revenue_most"}
MONEY = frozenset(name for name, _, clean, _, _ in FIELDS if clean == "money")
GROUPS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("Person", ("first_name", "last_name", "title", "seniority", "departments", "person_linkedin_url")),
    ("E-mail", ("email", "email_status", "email_confidence", "primary_email_source")),
    (
        "Phones",
        ("first_phone", "work_direct_phone", "mobile_phone", "home_phone", "corporate_phone", "other_phone"),
    ),
    ("Place", ("city", "state", "country")),
    (
        "Company",
        (
            "company", "company_name_for_emails", "industry", "employees", "number_of_retail_locations", "website",
            "company_phone", "company_address", "company_city", "company_state", "company_country", "keywords",
            "technologies", "seo_description", "company_linkedin_url", "facebook_url", "twitter_url",
        ),
    ),
    (
        "Money",
        (
            "annual_revenue", "total_funding", "latest_funding", "latest_funding_amount", "last_raised_at",
        ),
    ),
    (
        "Your work with them",
        (
            "stage", "lists", "contact_owner", "account_owner", "last_contacted", "email_sent", "email_open",
            "email_bounced", "replied", "demoed",
        ),
    ),
    ("IDs", ("contact_id", "account_id")),
)  # fmt: skip
DEFAULT_COLUMNS = ("title", "company", "email", "first_phone", "stage", "country")
MOST_COLUMNS = 20


def name_contact(contact: Contact) -> str:
    """Name a contact for people: by name, else by e-mail, else by number."""
    name = f"{contact.first_name} {contact.last_name}".strip()
    return name or contact.email or f"Contact {contact.pk}"


def needed_fields(columns: Iterable[str]) -> list[str]:
    """Give the fields to read for a list with these columns."""
    wanted = {"first_name", "last_name", "email", *columns}
    return sorted(wanted | {RANGES[name] for name in wanted & set(RANGES)})


def show_value(contact: Contact, name: str) -> str:
    """Give a field in the words of a page."""
    value, most = getattr(contact, name), getattr(contact, RANGES.get(name, name))
    if name in RANGES and most is not None and value is not None:
        return f"{_in_words(value, name)}–{_in_words(most, name)}"
    return _in_words(value, name)


def _in_words(value: Any, name: str) -> str:
    """Say one value."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Decimal) and name in MONEY:
        return f"{value:,.2f}".removesuffix(".00")
    if isinstance(value, Decimal):
        return f"{value.normalize():f}"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, datetime):
        return f"{value.astimezone(UTC):%d %b %Y %H:%M} UTC".removeprefix("0")
    if isinstance(value, date):
        return f"{value:%d %b %Y}".removeprefix("0")
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def write_value(contact: Contact, name: str) -> str:
    """Give a field as a cell that an import reads back as the same value."""
    return _write(name, getattr(contact, name), getattr(contact, RANGES[name]) if name in RANGES else None)


def make_writer(columns: Sequence[str], read: Sequence[str]) -> Callable[[Sequence[Any]], list[str]]:
    """Make what writes a row of values of the fields `read` as the cells of `columns`. Cost: nothing much for texts."""
    places = [(read.index(name), name, read.index(RANGES[name]) if name in RANGES else None) for name in columns]

    def write(row: Sequence[Any]) -> list[str]:
        return [
            value
            if (value := row[place]).__class__ is str
            else ""
            if value is None
            else _write(name, value, row[most] if most is not None else None)
            for place, name, most in places
        ]

    return write


def _write(name: str, value: Any, most: Any) -> str:
    """Write one value; `most` is the upper end where it is a range."""
    if value is None:
        return ""
    if most is not None:
        return f"{value}-{most}"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Decimal) and name not in MONEY:
        return f"{value.normalize():f}"
    if isinstance(value, datetime):
        return f"{value.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
    if isinstance(value, dict):
        return json.dumps(value, ensure_ascii=False, sort_keys=True) if value else ""
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def group_fields(contact: Contact) -> list[tuple[str, list[tuple[str, str, str]]]]:
    """Lay out what is filled. Shape: (group, [(field, label, value)]), groups with nothing left out."""
    found = []
    for title, names in GROUPS:
        filled = [(name, LABELS[name], value) for name in names if (value := show_value(contact, name))]
        if filled:
            found.append((title, filled))
    return found


# ------------------------------------------------------------------------------------------------ columns


def chosen_columns(caller: Caller) -> tuple[str, ...]:
    """Give the columns that a person wants to see."""
    kept = ChosenColumns.objects.filter(user=caller.user).values_list("columns", flat=True).first()
    return tuple(name for name in kept if name in LABELS) if kept is not None else DEFAULT_COLUMNS


def choose_columns(caller: Caller, columns: Sequence[str]) -> tuple[str, ...]:
    """Remember a person's columns; none brings the usual ones back. Raises: InputError bad_option."""
    chosen = read_columns(columns)
    if len(chosen) > MOST_COLUMNS:
        raise InputError(f"A list shows {MOST_COLUMNS} columns at most.", code="bad_option", field="columns")
    if not chosen:
        ChosenColumns.objects.filter(user=caller.user).delete()
        return DEFAULT_COLUMNS
    ChosenColumns.objects.update_or_create(user=caller.user, defaults={"columns": list(chosen)})
    return chosen


def read_columns(columns: Iterable[str]) -> tuple[str, ...]:
    """Read names of fields, in their order, each once. Raises: InputError bad_option."""
    chosen = tuple(dict.fromkeys(columns))
    if set(chosen) - set(LABELS):
        raise InputError("columns takes names of a contact's fields.", code="bad_option", field="columns")
    return chosen
