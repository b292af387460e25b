"""Contacts written straight into the table, for what needs no import."""

from __future__ import annotations

from typing import Any

from rowmill.models import Contact, Org


def make_contact(org: Org, number: int, **fields: Any) -> Contact:
    """Make one contact; what is not named is blank."""
    fields = {"contact_id": f"K{number}", **fields}
    return Contact.objects.create(org=org, match_key=f"i:{fields['contact_id']}", **fields)


def make_contacts(org: Org, count: int, first: int = 1) -> None:
    """Make contacts whose names come again and again, so that paging has to tell them apart by more."""
    Contact.objects.bulk_create(
        Contact(
            org=org,
            match_key=f"i:K{n}",
            contact_id=f"K{n}",
            first_name=f"First{n}",
            last_name=f"Last{n % 7}",
            company="" if n % 3 else f"Company {n % 5}",
            email=f"p{n}@example.org" if n % 4 else "",
            stage=("Cold", "Warm")[n % 2],
        )
        for n in range(first, first + count)
    )
