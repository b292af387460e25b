"""The list of contacts: searched, filtered, its columns chosen, handed out, and what an import brought removed."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.http import FileResponse, HttpResponse, HttpResponseRedirect, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_POST

from rowmill import audit
from rowmill.contacts.browse import Ask, ContactPage, list_contacts, open_ask, read_ask, sample_values, seal_ask
from rowmill.contacts.export import ALL_COLUMNS, export_csv, take_xlsx
from rowmill.contacts.removal import count_removal, remove_imported
from rowmill.contacts.showing import (
    GROUPS,
    LABELS,
    choose_columns,
    chosen_columns,
    name_contact,
    needed_fields,
    show_value,
)
from rowmill.contacts.words import VALUES
from rowmill.errors import InputError
from rowmill.merging.undo import may_undo
from rowmill.models import FINAL_STATES, Contact, Export, Job, UndoWhat
from rowmill.orgs import fetch, own
from rowmill.web.downloads import CSV_TYPE, XLSX_TYPE, named
from rowmill.web.frame import MemberRequest, member_view
from rowmill.web.undone import tell_undo, tell_undos

SESSION_KEY = "contacts"
SORT_LABELS = {
    "name": "Last name, A–Z",
    "-name": "Last name, Z–A",
    "company": "Company, A–Z",
    "-company": "Company, Z–A",
    "-added": "Newest first",
    "added": "Oldest first",
}
LISTED_IMPORTS = 50
SHOWN_CHARACTERS = 200


@require_http_methods(["GET", "HEAD", "POST"])
@member_view
def contact_list(request: MemberRequest) -> HttpResponse:
    """List the org's contacts. What is searched for comes by POST and is kept sealed: it may name a person."""
    ask = _find_ask(request)
    page = list_contacts(
        request.caller,
        ask,
        cursor=request.POST.get("cursor", ""),
        columns=needed_fields(chosen_columns(request.caller)),
    )
    audit.record(
        request.caller.org, request.caller.user, "contacts.view", "contacts", "list",
        rows=len(page.rows), narrowed=ask.narrowed,
    )  # fmt: skip
    context = _list_context(request, ask, page)
    if request.htmx:
        return render(request, "contacts/found.html", context)
    return render(request, "contacts/list.html", context | _filter_context(request))


def _find_ask(request: MemberRequest) -> Ask:
    """Give what is asked for: by the form, by the page that it goes on from, by a link to an import, else as it was."""
    if request.method == "POST" and "asked" in request.POST:
        return open_ask(request.caller, request.POST["asked"])
    if request.method == "POST" or "import" in request.GET:
        ask = read_ask(request.POST if request.method == "POST" else {"import": request.GET["import"]})
        if ask.job:  # before it is kept: the page would be refused ever after
            fetch(request.caller, own(request.caller, Job), ask.job)
        request.session[SESSION_KEY] = seal_ask(request.caller, ask)
        return ask
    try:
        return open_ask(request.caller, request.session.get(SESSION_KEY, ""))
    except InputError:
        return Ask()


def _list_context(request: MemberRequest, ask: Ask, page: ContactPage) -> dict[str, Any]:
    """Lay out a page of the list."""
    columns = chosen_columns(request.caller)
    return {
        "ask": ask,
        "asked": seal_ask(request.caller, ask),
        "found": page,
        "last": page.first + len(page.rows) - 1,
        "columns": [(name, LABELS[name]) for name in columns],
        "rows": [_shape_row(contact, columns) for contact in page.rows],
        "groups": [(title, [(name, LABELS[name], name in columns) for name in names]) for title, names in GROUPS],
    }


def _shape_row(contact: Contact, columns: tuple[str, ...]) -> dict[str, Any]:
    """Lay out a row of the list."""
    cells = [_begin(show_value(contact, name)) for name in columns]
    return {"id": contact.pk, "name": _begin(name_contact(contact)), "cells": cells}


def _begin(text: str) -> str:
    """Give as much of a text as a list shows; a cell may be megabytes long."""
    return text if len(text) <= SHOWN_CHARACTERS else f"{text[: SHOWN_CHARACTERS - 1]}…"


def _filter_context(request: MemberRequest) -> dict[str, Any]:
    """Give what the filters offer."""
    imports = own(request.caller, Job).filter(kind="contact_import").select_related("upload").order_by("-id")
    values = sample_values(request.caller)
    return {
        "values": [(name, LABELS[name], values[name]) for name in VALUES],
        "imports": imports[:LISTED_IMPORTS],
        "sorts": SORT_LABELS.items(),
    }


@require_POST
@member_view
def columns(request: MemberRequest) -> HttpResponse:
    """Remember which columns a person wants to see."""
    choose_columns(request.caller, request.POST.getlist("column") if "usual" not in request.POST else ())
    return redirect("contacts")


@require_POST
@member_view
def export(request: MemberRequest) -> HttpResponseBase:
    """Hand out the contacts found, or lead to where a large workbook is made.

    It is a POST, since what was searched for stands in no address.
    """
    ask = open_ask(request.caller, request.POST.get("asked", ""))
    shown = request.POST.get("fields") == "shown"
    chosen = ("first_name", "last_name", *chosen_columns(request.caller)) if shown else ALL_COLUMNS
    columns = tuple(dict.fromkeys(chosen))
    if request.POST.get("export") == "xlsx":
        made = take_xlsx(request.caller, ask, columns)
        if isinstance(made, Export):
            return HttpResponseRedirect(reverse("export", args=[made.public_id]), status=303)
        return named(FileResponse(made, content_type=XLSX_TYPE), "contacts.xlsx")
    lines = export_csv(request.caller, ask, columns, bom=True)
    return named(StreamingHttpResponse(lines, content_type=CSV_TYPE), "contacts.csv")


@require_http_methods(["GET", "HEAD", "POST"])
@member_view
def remove_import(request: MemberRequest, public_id: UUID) -> HttpResponse:
    """Ask, then have the contacts removed that an import brought and nobody changed since; show how far that is."""
    jobs = own(request.caller, Job).filter(kind="contact_import").select_related("upload", "created_by")
    job = fetch(request.caller, jobs, public_id)
    if request.method == "POST":
        remove_imported(request.caller, job)
        request.session.pop(SESSION_KEY, None)
        return HttpResponseRedirect(reverse("contacts-remove", args=[public_id]), status=303)
    told = tell_undo(job, UndoWhat.REMOVAL)
    under_way = any(one.at_work for one in tell_undos(job))
    context = {
        "job": job,
        "told": told,
        "under_way": under_way,
        "final": job.state in FINAL_STATES,
        "removal": None if under_way else count_removal(request.caller, job),
        "may_undo": job.deleted_at is None and may_undo(job),
    }
    return render(request, "contacts/remove_live.html" if request.htmx else "contacts/remove.html", context)
