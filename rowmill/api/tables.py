"""Tables of one's own by API: lists their rows, finds one by its key, hands all out as CSV."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, ClassVar
from uuid import UUID

from django.http import StreamingHttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_serializer
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from rowmill import audit
from rowmill.api.base import OrgView
from rowmill.api.problems import problems
from rowmill.api.results import CSV_TYPE, read_number
from rowmill.models import Merged
from rowmill.orgs import Caller
from rowmill.tables.listing import (
    MOST_KEY,
    MOST_ROWS,
    OwnTable,
    RowPage,
    export_rows,
    find_jobs,
    find_table,
    list_rows,
    search_key,
)

PAGE_SIZE = 100
JOB = OpenApiParameter("import", OpenApiTypes.UUID, description="Only those that this job brought.")


@extend_schema_serializer(component_name="TableRow")
class TableRowShape(serializers.Serializer[Any]):
    """A row of a table."""

    id = serializers.IntegerField()
    values = serializers.DictField(help_text="By column; decimal numbers as texts.")
    extra = serializers.DictField(help_text="What a file had besides, by header.")
    revision = serializers.IntegerField(help_text="Grows by one with every change, by whomever.")
    created_at = serializers.DateTimeField()
    updated_at = serializers.DateTimeField()
    created_job = serializers.UUIDField(allow_null=True, help_text="The import that brought it.")
    import_job = serializers.UUIDField(allow_null=True, help_text="The import that wrote it last.")
    import_row = serializers.IntegerField(allow_null=True, help_text="From which row of its file.")
    import_line = serializers.IntegerField(allow_null=True, help_text="On which line; header 1.")


@extend_schema_serializer(component_name="TablePage")
class TablePageShape(serializers.Serializer[Any]):
    """A page of rows, newest first. `next` goes into `before`; null at the end."""

    count = serializers.IntegerField()
    count_is = serializers.ChoiceField(
        ["exact", "about", "more", "many"], help_text="more: more than `count`; many: nobody counted."
    )
    next = serializers.IntegerField(allow_null=True)
    results = TableRowShape(many=True)


class KeyForm(serializers.Serializer[Any]):
    """What names a row."""

    key = serializers.CharField(max_length=MOST_KEY, help_text="The whole of it, as the file has it.")


class TableView(OrgView):
    """The rows of a table."""

    @extend_schema(
        operation_id="list_table_rows",
        tags=["tables"],
        parameters=[
            JOB,
            OpenApiParameter("before", OpenApiTypes.INT, description="`next` of a page."),
            OpenApiParameter("page_size", OpenApiTypes.INT, description=f"{PAGE_SIZE}, at most {MOST_ROWS}."),
        ],
        responses={200: TablePageShape, **problems(400, 401, 403, 404)},
    )
    def get(self, request: Request, kind: str) -> Response:
        """List the rows of a kind's table, newest first. A key goes to `search/`, so that no address holds a cell."""
        table = find_table(kind)
        size = min(read_number(request, "page_size", PAGE_SIZE), MOST_ROWS)
        before = read_number(request, "before", 0) if request.query_params.get("before") else 0
        job = request.query_params.get("import", "")
        return give_page(self.caller, table, list_rows(self.caller, table, job=job, before=before, size=size))


class TableSearchView(OrgView):
    """One row, looked up."""

    reading_post: ClassVar[bool] = True

    @extend_schema(
        operation_id="search_table_rows",
        tags=["tables"],
        request=KeyForm,
        responses={200: TablePageShape, **problems(400, 401, 403, 404, 415)},
    )
    def post(self, request: Request, kind: str) -> Response:
        """Find the row that a key names. Nothing is changed: an auditor may, too."""
        table = find_table(kind)
        form = KeyForm(data=request.data)
        form.is_valid(raise_exception=True)
        return give_page(self.caller, table, search_key(self.caller, table, form.validated_data["key"]))


class TableExportView(OrgView):
    """All rows, to take home."""

    @extend_schema(
        operation_id="export_table_rows",
        tags=["tables"],
        parameters=[JOB],
        responses={(200, "text/csv"): OpenApiTypes.STR, **problems(401, 403, 404)},
    )
    def get(self, request: Request, kind: str) -> StreamingHttpResponse:
        """Hand out the rows as CSV, oldest first: an import reads them back."""
        lines = export_rows(self.caller, find_table(kind), job=request.query_params.get("import", ""), bom=False)
        headers = {"Content-Disposition": f'attachment; filename="{kind}.csv"'}
        return StreamingHttpResponse(lines, content_type=CSV_TYPE, headers=headers)


def give_page(caller: Caller, table: OwnTable, page: RowPage) -> Response:
    """Answer with a page; the trail notes who looked."""
    audit.record(caller.org, caller.user, "table.read", "table", table.slug, rows=len(page.rows))
    jobs = {number: job.public_id for number, job in find_jobs(caller, page.rows).items()}
    return Response(
        {
            "count": page.total.number,
            "count_is": page.total.word,
            "next": page.older,
            "results": [describe_row(table, row, jobs) for row in page.rows],
        }
    )


def describe_row(table: OwnTable, row: Merged, jobs: Mapping[int, UUID]) -> dict[str, Any]:
    """Give a row. `jobs`: public ids by number."""
    values = {name: getattr(row, name) for name, _ in table.columns}
    told = ("revision", "created_at", "updated_at", "import_row", "import_line")
    return {
        "id": row.pk,
        "values": {name: str(one) if isinstance(one, Decimal) else one for name, one in values.items()},
        "extra": getattr(row, table.target.extra) if table.target.extra else {},
        **{name: getattr(row, name) for name in told},
        "created_job": jobs.get(row.created_job_id or 0),
        "import_job": jobs.get(row.import_job_id or 0),
    }
