"""What a person does to one contact: change fields, by the rules of an import, or delete it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import F, JSONField, TextField
from django.db.models.functions import Now

from rowmill import audit
from rowmill.contacts.fields import COLUMNS, PHONES, TARGET
from rowmill.contacts.records import DELETE, EDIT, find_old_rows
from rowmill.contacts.showing import RANGES, write_value
from rowmill.contracts import Column
from rowmill.errors import InputError, NotFound, StateError
from rowmill.merging.merge import hold_table_alone
from rowmill.merging.room import open_room
from rowmill.models import Contact
from rowmill.models.text import storable
from rowmill.orgs import Caller, own
from rowmill.registry import get_check
from rowmill.tabular.cleaning import CLEANERS, trimmed

MOST_CHARACTERS = 20_000
KEYS = tuple(name for _, name in TARGET.keys)
_COLUMNS = {column.name: column for column in COLUMNS}
_CLEAN = {field.name: field.clean for field in TARGET.fields}


def as_cell(name: str, value: object) -> str:
    """Give a value of JSON as the cell that an import would read. Raises: InputError."""
    _need_fields([name])
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list) and _CLEAN.get(name) == "list":
        if not all(isinstance(one, str) and not set(one) & set(",;|\n") for one in value):
            raise _refuse({name: "a list holds texts without commas, semicolons and bars."})
        return ", ".join(value)
    if not isinstance(value, str | int | float):
        raise _refuse({name: "this is neither a text nor a number."})
    return str(value)


def edit_contact(caller: Caller, contact: Contact, cells: Mapping[str, str], revision: int | None = None) -> list[str]:
    """Write cells into fields of a contact, read, checked and cleaned as those of a file. Gives the fields that changed.

    `revision`: what the person saw. Whatever changes, the revision grows, so that an undo keeps the contact.
    Raises: NotAllowed, NotFound; InputError with `fields`, what is wrong by field; StateError where somebody else changed
    it meanwhile or another contact has its key.
    """
    caller.need_write()
    values = clean_cells(cells)
    with transaction.atomic():
        if set(KEYS) & set(cells):
            hold_table_alone(caller.org.pk)  # an import tells contacts by these
        held = own(caller, Contact).select_for_update(no_key=True).filter(pk=contact.pk).first()
        if held is None:
            raise NotFound("There is no such contact.")
        if revision is not None and held.revision != revision:
            raise StateError("Somebody else changed this contact meanwhile. Load it again and look at it.")
        changed = {name: value for name, value in values.items() if getattr(held, name) != value}
        if changed:
            _write(held, changed)
            names = sorted(set(changed) & set(_COLUMNS) or {one for one, most in RANGES.items() if most in changed})
            audit.record(caller.org, caller.user, EDIT, "contact", held.pk, fields=", ".join(names))
    contact.refresh_from_db()
    return sorted(changed)


def _write(held: Contact, changed: Mapping[str, Any]) -> None:
    """Write what changed, and what follows from it."""
    for name, value in changed.items():
        setattr(held, name, value)
    key = next((f"{letter}:{getattr(held, name)}" for letter, name in TARGET.keys if getattr(held, name)), "")
    if not key:
        raise _refuse(dict.fromkeys(KEYS, "a contact needs an ID or an e-mail address."))
    more: dict[str, Any] = {"match_key": key, "revision": F("revision") + 1, "updated_at": Now()}
    if set(PHONES) & set(changed):
        more["phone_numbers"] = _gather_phones(held)
    try:
        with transaction.atomic():
            Contact.objects.filter(pk=held.pk).update(**changed, **more)
    except IntegrityError:
        raise StateError("Another contact has this ID, or this e-mail address and no ID.", code="taken") from None


def delete_contact(caller: Caller, contact: Contact) -> None:
    """Delete a contact, and what was kept of it for an undo. Raises: NotAllowed, NotFound."""
    caller.need_write()
    with transaction.atomic():
        # First, since an import that changes it now keeps what it was before, too.
        list(own(caller, Contact).select_for_update(no_key=True).filter(pk=contact.pk).values_list("pk"))
        find_old_rows(contact).delete()
        gone, _ = own(caller, Contact).filter(pk=contact.pk).delete()
        if not gone:
            raise NotFound("There is no such contact.")
        audit.record(caller.org, caller.user, DELETE, "contact", contact.pk)


def write_cells(contact: Contact) -> dict[str, str]:
    """Give a contact's fields as cells, for a form."""
    return {name: write_value(contact, name) for name in _COLUMNS}


# ------------------------------------------------------------------------------------------------ reading cells


def clean_cells(cells: Mapping[str, str]) -> dict[str, Any]:
    """Read cells as an import does. Shape: values by field, upper ends of ranges too. Raises: InputError with `fields`."""
    _need_fields(cells)
    long = {
        name: "this is longer than 20,000 characters." for name, cell in cells.items() if len(cell) > MOST_CHARACTERS
    }
    if long:
        raise _refuse(long)
    clean = {name: storable(cell) for name, cell in cells.items()}
    if problems := _check(clean):
        raise _refuse(problems)
    wanted = [(name, _CLEAN[name], name) for name in clean]
    wanted += [(most, _CLEAN[most], name) for name, most in RANGES.items() if name in clean]
    found = _ask([(CLEANERS[slug].on(trimmed("{column}")), clean[name]) for _, slug, name in wanted])
    return {name: _as_field(name, value) for (name, _, _), value in zip(wanted, found, strict=True)}


def _need_fields(names: Iterable[str]) -> None:
    """Raises: InputError for a name that no field has."""
    if set(names) - set(_COLUMNS):
        raise InputError("There is no such field of a contact.", code="bad_option")


def _check(cells: Mapping[str, str]) -> dict[str, str]:
    """Tell what is wrong with each cell, in the words of the check that it breaks."""
    filled = {name: cell for name, cell in cells.items() if cell.strip()}
    tests = [(name, get_check(slug)) for name in filled for slug in _rules_of(_COLUMNS[name])]
    broken = _ask([(check.bad_when, filled[name]) for name, check in tests])
    return {name: f"{check.title}. {check.help}" for (name, check), bad in zip(tests, broken, strict=True) if bad}


def _rules_of(column: Column) -> list[str]:
    """Give the checks of one cell."""
    return [slug for slug in column.checks if slug != "required"]


def _ask(questions: list[tuple[str, str]]) -> list[Any]:
    """Ask DuckDB for expressions over `{column}`, each with its cell."""
    if not questions:
        return []
    asked = ", ".join(sql.replace("{column}", f"c{n}") for n, (sql, _) in enumerate(questions))
    cells = ", ".join(f"?::VARCHAR AS c{n}" for n in range(len(questions)))
    with open_room() as con:
        found = con.execute(f"SELECT {asked} FROM (SELECT {cells})", [cell for _, cell in questions]).fetchone()
    assert found is not None
    return list(found)


def _as_field(name: str, value: Any) -> Any:
    """Give a cleaned value as the table has it."""
    field = TARGET.model_field(name)
    if isinstance(field, JSONField):
        return json.loads(value) if value else []
    if isinstance(field, TextField):
        return value or ""
    return value.replace(tzinfo=UTC) if isinstance(value, datetime) else value


def _gather_phones(contact: Contact) -> dict[str, str]:
    """Give the phones without their decoration, by field."""
    cells = [(name, getattr(contact, name)) for name in PHONES]
    found = _ask([(CLEANERS["phone-digits"].on(trimmed("{column}")), cell) for _, cell in cells])
    return {name: digits for (name, _), digits in zip(cells, found, strict=True) if digits}


def _refuse(problems: Mapping[str, str]) -> InputError:
    """Make the error that tells what is wrong with which field; the words hold no cell."""
    words = " ".join(f"{_COLUMNS[name].label}: {words}" for name, words in problems.items())
    return InputError(words, fields=dict(problems))
