"""The pages of one contact: what it is and where it came from; change it, delete it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from rowmill import audit
from rowmill.contacts.editing import delete_contact, edit_contact, write_cells
from rowmill.contacts.fields import COLUMNS
from rowmill.contacts.records import fetch_contact, find_origin, list_changes
from rowmill.contacts.showing import GROUPS, LABELS, group_fields, name_contact
from rowmill.errors import InputError, StateError
from rowmill.models import Contact
from rowmill.web.frame import MemberRequest, member_view

LONG = frozenset({"keywords", "technologies", "seo_description"})
_HELP = {column.name: column.help for column in COLUMNS}


@require_GET
@member_view
def contact_page(request: MemberRequest, contact_id: int) -> HttpResponse:
    """Show a contact: what is filled, where it came from, what became of it."""
    contact = fetch_contact(request.caller, contact_id)
    audit.record(request.caller.org, request.caller.user, "contact.view", "contact", contact.pk)
    context = {
        "contact": contact,
        "name": name_contact(contact),
        "filled": group_fields(contact),
        "extra": sorted(contact.extra.items()),
        "origin": find_origin(contact),
        "changes": list_changes(contact),
    }
    return render(request, "contacts/contact.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
@member_view
def edit(request: MemberRequest, contact_id: int) -> HttpResponse:
    """Show a contact's fields as cells to change; write what changed."""
    request.caller.need_write()
    contact = fetch_contact(request.caller, contact_id)
    before = write_cells(contact)
    if request.method != "POST":
        audit.record(request.caller.org, request.caller.user, "contact.view", "contact", contact.pk)
        return _form(request, contact, before, {})
    cells = {name: request.POST[name].replace("\r\n", "\n") for name in before if name in request.POST}
    changed = {name: cell for name, cell in cells.items() if cell != before[name]}
    seen = request.POST.get("revision", "")
    try:
        edit_contact(request.caller, contact, changed, int(seen[:18]) if seen.isdecimal() else None)
    except InputError as error:
        return _form(request, contact, {**before, **cells}, error.details.get("fields", {}), str(error))
    except StateError as error:
        return _form(request, contact, {**before, **cells}, {}, str(error), status=409)
    messages.success(request, "The contact is saved." if changed else "Nothing was changed.")
    return redirect("contact", contact.pk)


def _form(
    request: MemberRequest,
    contact: Contact,
    cells: Mapping[str, str],
    wrong: Mapping[str, str],
    problem: str = "",
    *,
    status: int = 0,
) -> HttpResponse:
    """Lay the form out."""
    groups = [(title, [_field(name, cells[name], wrong.get(name, "")) for name in names]) for title, names in GROUPS]
    seen = request.POST.get("revision", contact.revision)
    context = {
        "contact": contact, "name": name_contact(contact), "groups": groups, "problem": problem, "revision": seen,
    }  # fmt: skip
    return render(request, "contacts/edit.html", context, status=status or (400 if problem else 200))


def _field(name: str, cell: str, wrong: str) -> dict[str, Any]:
    """Lay one field out."""
    return {
        "name": name, "label": LABELS[name], "cell": cell, "wrong": wrong, "help": _HELP[name], "long": name in LONG,
    }  # fmt: skip


@require_POST
@member_view
def delete(request: MemberRequest, contact_id: int) -> HttpResponse:
    """Delete a contact."""
    delete_contact(request.caller, fetch_contact(request.caller, contact_id))
    messages.success(request, "The contact is deleted.")
    return redirect("contacts")
