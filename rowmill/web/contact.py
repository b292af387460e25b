"""The pages of one contact: what it is and where it came from; change it, delete it."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any
from urllib.parse import quote_plus

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from rowmill import audit
from rowmill.contacts.editing import MOST_CHARACTERS, delete_contact, edit_contact, write_cells
from rowmill.contacts.fields import COLUMNS
from rowmill.contacts.records import fetch_contact, find_origin, list_changes
from rowmill.contacts.showing import GROUPS, LABELS, group_fields, name_contact
from rowmill.errors import InputError, StateError
from rowmill.models import Contact
from rowmill.web.frame import MemberRequest, member_view

LONG = frozenset({"keywords", "technologies", "seo_description"})
MOST_SENT = (
    500_000  # bytes of the form as it comes back, half of what a request may have: the rest is for what is typed
)
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
        return _form(request, contact, before, {}, kept=_find_long(before))
    cells = {name: request.POST[name].replace("\r\n", "\n") for name in before if name in request.POST}
    changed = {name: cell for name, cell in cells.items() if cell != _as_sent(before[name])}
    seen, kept = request.POST.get("revision", ""), _find_long(before) - set(cells)
    try:
        edit_contact(request.caller, contact, changed, int(seen[:18]) if seen.isdecimal() else None)
    except InputError as error:
        return _form(request, contact, {**before, **cells}, error.details.get("fields", {}), str(error), kept=kept)
    except StateError as error:
        return _form(request, contact, {**before, **cells}, {}, str(error), status=409, kept=kept)
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
    kept: Collection[str],
) -> HttpResponse:
    """Lay the form out, without those cells of `kept`."""
    groups = [
        (title, [_field(name, cells[name], wrong.get(name, ""), kept=name in kept) for name in names])
        for title, names in GROUPS
    ]
    seen = request.POST.get("revision", contact.revision)
    context = {
        "contact": contact, "name": name_contact(contact), "groups": groups, "problem": problem, "revision": seen,
    }  # fmt: skip
    return render(request, "contacts/edit.html", context, status=status or (400 if problem else 200))


def _field(name: str, cell: str, wrong: str, *, kept: bool) -> dict[str, Any]:
    """Lay one field out: a box of one line would lose the ends of lines."""
    return {
        "name": name, "label": LABELS[name], "cell": cell[:200] if kept else cell, "wrong": wrong, "help": _HELP[name],
        "long": name in LONG or "\n" in cell or "\r" in cell, "kept": len(cell) if kept else 0,
    }  # fmt: skip


def _find_long(cells: Mapping[str, str]) -> set[str]:
    """Name the cells that are too long to go to a page and back: those that nobody may write, then the longest."""
    sizes = {name: len(quote_plus(_as_sent(cell).replace("\n", "\r\n"))) for name, cell in cells.items()}
    kept = {name for name, cell in cells.items() if len(cell) > MOST_CHARACTERS}
    sent = 0
    for name in sorted(sizes.keys() - kept, key=lambda name: (sizes[name], name)):
        sent += sizes[name]
        if sent > MOST_SENT:
            kept.add(name)
    return kept


def _as_sent(cell: str) -> str:
    """Give a cell as a page sends it back when nobody changes it."""
    return re.sub("\r\n?", "\n", cell)


@require_POST
@member_view
def delete(request: MemberRequest, contact_id: int) -> HttpResponse:
    """Delete a contact."""
    delete_contact(request.caller, fetch_contact(request.caller, contact_id))
    messages.success(request, "The contact is deleted.")
    return redirect("contacts")
