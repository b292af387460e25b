"""What the API of contacts takes and gives: a contact, a page of them, what is searched for."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from decimal import Decimal
from typing import Any
from uuid import UUID

from drf_spectacular.utils import extend_schema_serializer
from rest_framework import serializers

from rowmill.contacts.browse import EMAIL_WORDS, MOST_ROWS, MOST_SEARCH, SORT_WORDS, ContactPage
from rowmill.contacts.export import ALL_COLUMNS, EXPORTS
from rowmill.contacts.fields import FIELDS
from rowmill.contacts.showing import FIELD_NAMES, LABELS, RANGES
from rowmill.jobs.exports import DIRECT_ROWS
from rowmill.models import Contact, Job

_TYPES: dict[str, Callable[..., serializers.Field[Any, Any, Any, Any]]] = {
    "list": lambda **more: serializers.ListField(child=serializers.CharField(), **more),
    "count": lambda **more: serializers.IntegerField(allow_null=True, **more),
    "money": lambda **more: serializers.DecimalField(20, 2, allow_null=True, **more),
    "share": lambda **more: serializers.DecimalField(9, 4, allow_null=True, **more),
    "day": lambda **more: serializers.DateField(allow_null=True, **more),
    "moment": lambda **more: serializers.DateTimeField(allow_null=True, **more),
    "flag": lambda **more: serializers.BooleanField(allow_null=True, **more),
}
# What stands beside the fields: where the contact came from.
RECORD = (
    "phone_numbers", "extra", "revision", "created_at", "updated_at", "created_job", "import_job", "import_row",
    "import_line",
)  # fmt: skip


class RecordShape(serializers.Serializer[Any]):
    """What a contact has besides its fields."""

    id = serializers.IntegerField()
    employees_most = serializers.IntegerField(required=False, allow_null=True, help_text="The upper end of a range.")
    annual_revenue_most = serializers.DecimalField(
        20, 2, required=False, allow_null=True, help_text="The upper end of a range."
    )
    phone_numbers = serializers.DictField(
        required=False, child=serializers.CharField(), help_text="The phones without decoration, by field."
    )
    extra = serializers.DictField(required=False, help_text="What a file had besides, by header.")
    revision = serializers.IntegerField(required=False, help_text="Grows by one with every change, by whomever.")
    created_at = serializers.DateTimeField(required=False)
    updated_at = serializers.DateTimeField(required=False)
    created_job = serializers.UUIDField(required=False, allow_null=True, help_text="The import that brought it.")
    import_job = serializers.UUIDField(required=False, allow_null=True, help_text="The import that wrote it last.")
    import_row = serializers.IntegerField(required=False, allow_null=True, help_text="From which row of its file.")
    import_line = serializers.IntegerField(required=False, allow_null=True, help_text="On which line; header 1.")


def _declare() -> dict[str, serializers.Field[Any, Any, Any, Any]]:
    """Make a serializer field of every field of a contact."""
    plain = serializers.CharField
    return {n: _TYPES.get(clean, plain)(required=False, help_text=help) for n, _, clean, _, help in FIELDS}


ContactShape: type[serializers.Serializer[Any]] = extend_schema_serializer(component_name="Contact")(
    type(
        "ContactShape",
        (RecordShape,),
        {"__doc__": "A contact; lists give the columns that were asked for.", **_declare()},
    )
)


@extend_schema_serializer(component_name="ContactPage")
class ContactPageShape(serializers.Serializer[Any]):
    """A page of contacts. `next` and `previous` go into `cursor`; null where the list ends."""

    count = serializers.IntegerField()
    count_is = serializers.ChoiceField(
        ["exact", "about", "more", "many"], help_text="more: more than `count`; many: nobody counted."
    )
    first = serializers.IntegerField(help_text="The place of the first one in the list, from 1.")
    next = serializers.CharField(allow_null=True)
    previous = serializers.CharField(allow_null=True)
    results = ContactShape(many=True)


class SearchForm(serializers.Serializer[Any]):
    """Which contacts, in which order."""

    search = serializers.CharField(
        required=False, allow_blank=True, max_length=MOST_SEARCH,
        help_text="Beginnings of names, company and e-mail; or the last digits of a phone number.",
    )  # fmt: skip
    stage = serializers.CharField(required=False, allow_blank=True, max_length=200)
    seniority = serializers.CharField(required=False, allow_blank=True, max_length=200)
    country = serializers.CharField(required=False, allow_blank=True, max_length=200)
    industry = serializers.CharField(required=False, allow_blank=True, max_length=200)
    email = serializers.ChoiceField([*EMAIL_WORDS[1:], ""], required=False, help_text="With an address, or without.")
    sort = serializers.ChoiceField(SORT_WORDS, required=False, help_text="A minus turns it round. added: oldest first.")

    def get_fields(self) -> dict[str, Any]:
        """Add `import`, a word that no attribute can be called."""
        job = serializers.UUIDField(required=False, allow_null=True, help_text="Only those that this job brought.")
        return {**super().get_fields(), "import": job}


class ListForm(SearchForm):
    """Which contacts, in which order, and which part of them."""

    cursor = serializers.CharField(required=False, allow_blank=True, max_length=2000, help_text="`next` of a page.")
    page_size = serializers.IntegerField(required=False, min_value=1, max_value=MOST_ROWS)
    columns = serializers.ListField(
        child=serializers.ChoiceField(FIELD_NAMES), required=False, max_length=60, help_text="All fields unless given."
    )


class ExportForm(SearchForm):
    """Which contacts, as what."""

    export = serializers.ChoiceField(EXPORTS, required=False, help_text=f"xlsx above {DIRECT_ROWS:,} contacts: 202.")
    columns = serializers.ListField(
        child=serializers.ChoiceField(ALL_COLUMNS), required=False, max_length=60, help_text="All fields unless given."
    )


class EditForm(serializers.Serializer[Any]):
    """Fields of a contact to change, by name: texts as in a file, or values of JSON; null or "" makes one blank."""

    revision = serializers.IntegerField(required=False, min_value=1, help_text="What you saw.")

    def get_fields(self) -> dict[str, Any]:
        """Add the contact's fields. What they take is told by the import's own checks."""
        more = {name: serializers.JSONField(required=False, allow_null=True, help_text=LABELS[name]) for name in LABELS}
        return {**super().get_fields(), **more}


def describe_contact(
    contact: Contact, jobs: Mapping[int, UUID], columns: Collection[str] | None = None
) -> dict[str, Any]:
    """Give a contact, or only some of its fields. `jobs`: public ids by number."""
    if columns is not None:
        wide = [one for name in columns for one in (name, RANGES.get(name, name))]
        return {"id": contact.pk, **{name: _give(contact, name) for name in dict.fromkeys(wide)}}
    names = (*FIELD_NAMES, *RANGES.values(), *RECORD)
    found = {name: _give(contact, name) for name in names if not name.endswith("_job")}
    found["created_job"] = jobs.get(contact.created_job_id or 0)
    found["import_job"] = jobs.get(contact.import_job_id or 0)
    return {"id": contact.pk, **found}


def _give(contact: Contact, name: str) -> Any:
    """Give a value; a decimal number as a text, so that no digit is lost on its way."""
    value = getattr(contact, name)
    return str(value) if isinstance(value, Decimal) else value


def describe_page(found: ContactPage, columns: Collection[str] | None = None) -> dict[str, Any]:
    """Give a page of contacts. Cost: one query for the jobs that brought them."""
    jobs = find_job_ids(found.rows) if columns is None else {}
    return {
        "count": found.total.number,
        "count_is": found.total.word,
        "first": found.first,
        "next": found.next or None,
        "previous": found.previous or None,
        "results": [describe_contact(contact, jobs, columns) for contact in found.rows],
    }


def find_job_ids(contacts: Collection[Contact]) -> dict[int, UUID]:
    """Give the public ids of the jobs that wrote these contacts, by number."""
    numbers = {number for one in contacts for number in (one.created_job_id, one.import_job_id) if number}
    orgs = {one.org_id for one in contacts}
    return dict(Job.objects.filter(org__in=orgs, pk__in=numbers).values_list("pk", "public_id"))
