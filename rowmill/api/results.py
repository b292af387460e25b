"""The last step by API: hands out a result for every row, as CSV, XLSX or JSON, and notes who took it."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Collection
from pathlib import PurePath
from typing import Any

from django.conf import settings
from django.http import FileResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.utils.http import content_disposition_header
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response

from rowmill import audit
from rowmill.api.base import OrgView
from rowmill.api.problems import problems
from rowmill.api.shapes import ResultPageShape
from rowmill.errors import InputError
from rowmill.jobs.progress import list_account
from rowmill.jobs.results import OUTCOME_WORDS, ResultLine, iter_results, page_results, read_outcomes
from rowmill.models import Job
from rowmill.tabular.writers import write_csv, write_xlsx

EXPORTS = ("csv", "xlsx", "json")
CSV_TYPE = "text/csv; charset=utf-8"
XLSX_TYPE = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
PAGE_SIZE, MAX_PAGE_SIZE = 100, 1000


class ResultsView(OrgView):
    """A job's results."""

    @extend_schema(
        operation_id="get_results",
        tags=["jobs"],
        parameters=[
            OpenApiParameter("export", OpenApiTypes.STR, enum=EXPORTS, default="csv", description="The format."),
            OpenApiParameter(
                "outcome", OpenApiTypes.STR, description="Words of " + ", ".join(OUTCOME_WORDS) + "; commas between."
            ),
            OpenApiParameter("page", OpenApiTypes.INT, description="JSON only."),
            OpenApiParameter("page_size", OpenApiTypes.INT, description=f"JSON only, at most {MAX_PAGE_SIZE}."),
        ],
        responses={
            (200, "text/csv"): OpenApiTypes.STR,
            (200, XLSX_TYPE): OpenApiTypes.BINARY,
            (200, "application/json"): ResultPageShape,
            **problems(400, 401, 403, 404),
        },
    )
    def get(self, request: Request, job_id: str) -> HttpResponseBase:
        """Hand out the results in file order. While the job runs, what is not done yet is unprocessed."""
        export = read_choice(request, "export", EXPORTS, "csv")
        outcomes = read_outcomes(request.query_params.get("outcome", ""))
        job = self.fetch_job(job_id)
        if export == "json":
            return self._give_page(request, job, outcomes)
        response = give_xlsx(job, outcomes) if export == "xlsx" else give_csv(job, outcomes)
        self._note(job, export, outcomes)
        return response

    def _give_page(self, request: Request, job: Job, outcomes: Collection[str] | None) -> Response:
        """Give a page of results as JSON."""
        page, size = read_number(request, "page", 1), min(read_number(request, "page_size", PAGE_SIZE), MAX_PAGE_SIZE)
        if outcomes is not None and len(outcomes) > 1:
            raise InputError("outcome takes one word with export=json, or none.", code="bad_option", field="outcome")
        job.org.iso_dates = True  # For this answer only, never saved: JSON is always ISO.
        found = page_results(job, outcome=next(iter(outcomes or ()), ""), page=page, size=size)
        if page > max(found.pages, 1):
            raise NotFound("There is no such page.")
        self._note(job, "json", outcomes)
        return Response(
            {
                "count": found.total,
                "next": _page_link(request, page + 1) if page < found.pages else None,
                "previous": _page_link(request, page - 1) if page > 1 else None,
                "results": [describe_result(line) for line in found.rows],
            }
        )

    def _note(self, job: Job, export: str, outcomes: Collection[str] | None) -> None:
        """Put the look at PHI into the trail."""
        words = ",".join(sorted(outcomes)) if outcomes is not None else "all"
        audit.record(job.org, self.caller.user, "results.read", "job", job.public_id, export=export, outcomes=words)


def give_csv(job: Job, outcomes: Collection[str] | None) -> StreamingHttpResponse:
    """Stream the results as CSV, safe to open in a spreadsheet."""
    header, lines = iter_results(job, outcomes)
    headers = {"Content-Disposition": _disposition(job, "csv")}
    return StreamingHttpResponse(write_csv(header, lines, safe=True, bom=False), content_type=CSV_TYPE, headers=headers)


def give_xlsx(job: Job, outcomes: Collection[str] | None) -> FileResponse:
    """Give the results as XLSX, made in the scratch folder and removed with the response."""
    header, lines = iter_results(job, outcomes)
    settings.SCRATCH_DIR.mkdir(parents=True, exist_ok=True, mode=0o700)
    out = tempfile.TemporaryFile(prefix="results-", dir=settings.SCRATCH_DIR)  # noqa: SIM115
    try:
        write_xlsx(header, lines, out, account=list_account(job))
        out.seek(0)
    except BaseException:
        out.close()
        raise
    headers = {"Content-Disposition": _disposition(job, "xlsx")}
    return FileResponse(out, content_type=XLSX_TYPE, headers=headers)


def result_name(job: Job, ending: str) -> str:
    """Give a file name that no file system and no shell trips over: `claims-results.csv`."""
    stem = re.sub(r"[^\w.-]+", "-", PurePath(job.upload.name).stem, flags=re.ASCII).strip("-.")[:80]
    return f"{stem or 'rowmill'}-results.{ending}"


def _disposition(job: Job, ending: str) -> str:
    """Give what Content-Disposition says."""
    header = content_disposition_header(True, result_name(job, ending))
    assert header is not None
    return header


def describe_result(line: ResultLine) -> dict[str, Any]:
    """Give one row's result."""
    return {
        "row": line.row_number,
        "line": line.line,
        "outcome": line.outcome,
        "success": line.outcome == "ok",
        "code": line.code,
        "message": line.message,
        "attempts": line.attempts,
        "values": dict(line.values),
    }


def read_choice(request: Request, name: str, choices: Collection[str], default: str) -> str:
    """Read one word of a few. Raises: InputError."""
    word: str = request.query_params.get(name) or default
    if word not in choices:
        raise InputError(f"{name} takes one of: {', '.join(choices)}.", code="bad_option", field=name)
    return word


def read_number(request: Request, name: str, default: int) -> int:
    """Read a number from 1 on. Raises: InputError."""
    text: str = request.query_params.get(name) or str(default)
    if not (text.isascii() and text.isdigit() and len(text) < 10 and int(text) > 0):
        raise InputError(f"{name} takes a whole number from 1 on.", code="bad_option", field=name)
    return int(text)


def _page_link(request: Request, page: int) -> str:
    """Give the address of another page."""
    query = request.query_params.copy()
    query["page"] = str(page)
    return request.build_absolute_uri(f"{request.path}?{query.urlencode()}")
