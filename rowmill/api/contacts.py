"""The contacts of an org by API: lists and searches them, gives one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, cast

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from rowmill import audit
from rowmill.api.base import OrgView
from rowmill.api.contact_shapes import (
    ContactPageShape,
    ContactShape,
    ListForm,
    describe_contact,
    describe_page,
    find_job_ids,
)
from rowmill.api.problems import problems
from rowmill.api.results import read_number
from rowmill.contacts.browse import EMAIL_WORDS, MOST_ROWS, SORT_WORDS, Ask, list_contacts, read_ask
from rowmill.contacts.records import fetch_contact
from rowmill.contacts.showing import needed_fields, read_columns
from rowmill.models import Contact
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
        responses={200: ContactPageShape, **problems(400, 401, 403, 404)},
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


def _describe(contact: Contact) -> dict[str, Any]:
    """Give one contact."""
    return describe_contact(contact, find_job_ids([contact]))
