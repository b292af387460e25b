"""The contacts of an org by API: lists, searches and exports them; gives, changes and deletes one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, cast

from django.http import FileResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response

from rowmill import audit
from rowmill.api.base import OrgView
from rowmill.api.contact_shapes import (
    ContactPageShape,
    ContactShape,
    EditForm,
    ExportForm,
    ListForm,
    describe_contact,
    describe_page,
    find_job_ids,
)
from rowmill.api.exports import ExportShape, answer_export
from rowmill.api.problems import problems
from rowmill.api.results import CSV_TYPE, XLSX_TYPE, read_number
from rowmill.contacts.browse import EMAIL_WORDS, MOST_ROWS, SORT_WORDS, Ask, list_contacts, read_ask
from rowmill.contacts.editing import as_cell, delete_contact, edit_contact
from rowmill.contacts.export import ALL_COLUMNS, export_csv, take_xlsx
from rowmill.contacts.records import fetch_contact
from rowmill.contacts.showing import needed_fields, read_columns
from rowmill.contacts.words import VALUES
from rowmill.errors import InputError
from rowmill.models import Contact, Export
from rowmill.orgs import Caller

PAGE_SIZE = 100
# No cell stands in an address: what is searched for goes into the body of a POST.
GET_OPTIONS = ("sort", "email", "import")


class ContactsView(OrgView):
    """The org's contacts."""

    @extend_schema(
        operation_id="list_contacts",
        tags=["contacts"],
        parameters=[
            OpenApiParameter("sort", OpenApiTypes.STR, enum=SORT_WORDS, default="name", description="The order."),
            OpenApiParameter(
                "email", OpenApiTypes.STR, enum=EMAIL_WORDS[1:], description="With an address, or without."
            ),
            OpenApiParameter("import", OpenApiTypes.UUID, description="Only those that this job brought."),
            OpenApiParameter(
                "columns", OpenApiTypes.STR, description="Names of fields, commas between; all unless given."
            ),
            OpenApiParameter("page_size", OpenApiTypes.INT, description=f"{PAGE_SIZE}, at most {MOST_ROWS}."),
            OpenApiParameter("cursor", OpenApiTypes.STR, description="`next` or `previous` of a page: sealed."),
        ],
        responses={200: ContactPageShape, **problems(400, 401, 403, 404)},
    )
    def get(self, request: Request) -> Response:
        """List the contacts. Searches and filters by a value go to `search/`, so that no address holds a cell."""
        asked = request.query_params
        misplaced = next((name for name in ("search", *VALUES) if name in asked), "")
        if misplaced:  # left out without a word, it would be taken for found
            raise InputError(
                f"{misplaced} goes into the body of POST search/: no address holds a cell.",
                code="bad_option",
                field=misplaced,
            )
        ask = read_ask({name: asked.get(name, "") for name in GET_OPTIONS})
        size = min(read_number(request, "page_size", PAGE_SIZE), MOST_ROWS)
        names = [name for name in asked.get("columns", "").split(",") if name]
        return give_page(self.caller, ask, asked.get("cursor", ""), size, names)


class ContactSearchView(OrgView):
    """What is looked for among the org's contacts."""

    reading_post: ClassVar[bool] = True

    @extend_schema(
        operation_id="search_contacts",
        tags=["contacts"],
        request=ListForm,
        responses={200: ContactPageShape, **problems(400, 401, 403, 404, 415)},
    )
    def post(self, request: Request) -> Response:
        """Search and filter the contacts. Nothing is changed: an auditor may, too."""
        form = ListForm(data=cast(Mapping[str, Any], request.data))
        form.is_valid(raise_exception=True)
        data = form.validated_data
        return give_page(
            self.caller,
            read_ask(data),
            data.get("cursor", ""),
            data.get("page_size", PAGE_SIZE),
            data.get("columns", []),
        )


def give_page(caller: Caller, ask: Ask, cursor: str, size: int, names: Sequence[str]) -> Response:
    """Answer with a page; the trail notes who looked."""
    columns = read_columns(names) or None
    found = list_contacts(caller, ask, cursor=cursor, size=size, columns=needed_fields(columns) if columns else None)
    audit.record(
        caller.org, caller.user, "contacts.read", "contacts", "list", rows=len(found.rows), narrowed=ask.narrowed
    )
    return Response(describe_page(found, columns))


class ContactView(OrgView):
    """One contact."""

    @extend_schema(
        operation_id="get_contact", tags=["contacts"], responses={200: ContactShape, **problems(401, 403, 404)}
    )
    def get(self, request: Request, contact_id: int) -> Response:
        """Give a contact with where it came from."""
        contact = fetch_contact(self.caller, contact_id)
        audit.record(self.caller.org, self.caller.user, "contact.read", "contact", contact.pk)
        return Response(_describe(contact))

    @extend_schema(
        operation_id="edit_contact",
        tags=["contacts"],
        request=EditForm,
        responses={200: ContactShape, **problems(400, 401, 403, 404, 409, 415)},
    )
    def patch(self, request: Request, contact_id: int) -> Response:
        """Change fields of a contact; they are read, checked and cleaned as the cells of a file.

        `revision`: what you saw; 409 where somebody else changed the contact meanwhile.
        """
        contact = fetch_contact(self.caller, contact_id)
        form = EditForm(data=request.data)
        form.is_valid(raise_exception=True)
        data = dict(cast(Mapping[str, Any], request.data))
        data.pop("revision", None)
        try:
            cells = {str(name): as_cell(str(name), value) for name, value in data.items()}
            edit_contact(self.caller, contact, cells, form.validated_data.get("revision"))
        except InputError as error:
            if "fields" not in error.details:
                raise
            raise serializers.ValidationError(
                {name: [words] for name, words in error.details["fields"].items()}
            ) from None
        return Response(_describe(contact))

    @extend_schema(
        operation_id="delete_contact", tags=["contacts"], responses={204: None, **problems(401, 403, 404, 415)}
    )
    def delete(self, request: Request, contact_id: int) -> Response:
        """Delete a contact, and what was kept of it for an undo."""
        delete_contact(self.caller, fetch_contact(self.caller, contact_id))
        return Response(status=status.HTTP_204_NO_CONTENT)


class ContactExportView(OrgView):
    """What is found, to take home."""

    reading_post: ClassVar[bool] = True

    @extend_schema(
        operation_id="export_contacts",
        tags=["contacts"],
        request=ExportForm,
        responses={
            (200, "text/csv"): OpenApiTypes.STR,
            (200, XLSX_TYPE): OpenApiTypes.BINARY,
            (202, "application/json"): ExportShape,
            **problems(400, 401, 403, 404, 409, 415, 507),
        },
    )
    def post(self, request: Request) -> HttpResponseBase:
        """Hand out the contacts found, oldest first. Nothing is changed: an auditor may, too.

        A workbook of more than 10,000 is made in the background: 202, and Location says where to follow it.
        """
        form = ExportForm(data=request.data)
        form.is_valid(raise_exception=True)
        data = form.validated_data
        ask, columns = read_ask(data), tuple(dict.fromkeys(data.get("columns") or ALL_COLUMNS))
        if data.get("export") == "xlsx":
            made = take_xlsx(self.caller, ask, columns)
            if isinstance(made, Export):
                return answer_export(made)
            headers = {"Content-Disposition": 'attachment; filename="contacts.xlsx"'}
            return FileResponse(made, content_type=XLSX_TYPE, headers=headers)
        headers = {"Content-Disposition": 'attachment; filename="contacts.csv"'}
        lines = export_csv(self.caller, ask, columns, bom=False)
        return StreamingHttpResponse(lines, content_type=CSV_TYPE, headers=headers)


def _describe(contact: Contact) -> dict[str, Any]:
    """Give one contact."""
    return describe_contact(contact, find_job_ids([contact]))
