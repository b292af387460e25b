"""The cohort pages: cohorts, their submissions, and each table's stages, verdict, lost IDs and database."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import FileResponse, HttpResponse
from django.shortcuts import redirect, render
from django.utils.http import content_disposition_header
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from rowmill import audit
from rowmill.cohorts.files import DATABASE, hold_file, read_unknown
from rowmill.cohorts.intake import KIND, MENDABLE, cancel_sending, find_sending, most_bytes
from rowmill.cohorts.intake import mend_table as start_mend
from rowmill.cohorts.status import count_files, find_warning, is_working, list_causes, list_stages
from rowmill.cohorts.submissions import (
    add_table,
    create_cohort,
    create_submission,
    delete_cohort,
    delete_submission,
    delete_table,
    fetch_submission,
    fetch_table,
)
from rowmill.errors import InputError, NotFound
from rowmill.models import Cohort, Submission, SubmissionTable, TableState
from rowmill.orgs import fetch, own
from rowmill.web.frame import MemberRequest, member_view
from rowmill.web.sending import find_unfinished, sender_context

SHOWN_UNKNOWN = 50
DUCKDB_TYPE = "application/vnd.duckdb"


@require_http_methods(["GET", "POST"])
@member_view
def cohort_list(request: MemberRequest) -> HttpResponse:
    """List the org's cohorts; make one."""
    problem = ""
    if request.method == "POST":
        try:
            cohort = create_cohort(request.caller, request.POST.get("name", ""))
        except InputError as error:
            problem = str(error)
        else:
            return redirect("cohort", cohort.public_id)
    cohorts = own(request.caller, Cohort).prefetch_related("submissions")
    context = {"cohorts": cohorts, "problem": problem, "figures": count_files(request.caller)}
    return render(request, "cohorts/list.html", context, status=400 if problem else 200)


@require_http_methods(["GET", "POST"])
@member_view
def cohort_page(request: MemberRequest, public_id: UUID) -> HttpResponse:
    """Show a cohort's submissions; make one."""
    cohort = fetch(request.caller, own(request.caller, Cohort), public_id)
    problem = ""
    if request.method == "POST":
        try:
            submission = create_submission(request.caller, cohort, request.POST.get("name", ""))
        except InputError as error:
            problem = str(error)
        else:
            return redirect("submission", submission.public_id)
    submissions = cohort.submissions.select_related("created_by").prefetch_related("tables")
    context = {"cohort": cohort, "submissions": submissions, "problem": problem}
    return render(request, "cohorts/cohort.html", context, status=400 if problem else 200)


@require_http_methods(["GET", "POST"])
@member_view
def submission_page(request: MemberRequest, public_id: UUID) -> HttpResponse:
    """Show a submission's tables; add one."""
    submission = fetch_submission(request.caller, public_id)
    problem = ""
    if request.method == "POST":
        try:
            table = add_table(
                request.caller, submission, request.POST.get("name", ""), request.POST.get("id_column", "")
            )
        except InputError as error:
            problem = str(error)
        else:
            return redirect("table", submission.public_id, table.name)
    found = submission.tables.select_related("submission", "upload", "accepted")
    rows = [{"table": table, "working": is_working(table)} for table in found]
    context = {"submission": submission, "rows": rows, "problem": problem}
    return render(request, "cohorts/submission.html", context, status=400 if problem else 200)


@require_GET
@member_view
def table_page(request: MemberRequest, public_id: UUID, table_name: str) -> HttpResponse:
    """Show a table: the whole page, or the live part of it that htmx asks for."""
    table = fetch_table(request.caller, public_id, table_name)
    context = live_context(request, table)
    if request.htmx:
        return render(request, "cohorts/live.html", context)
    mine = find_unfinished(request.caller).filter(upload__kind=KIND, upload=table.upload_id)
    return render(request, "cohorts/table.html", context | sender_context(mine) | {"kind": KIND})


def live_context(request: MemberRequest, table: SubmissionTable) -> dict[str, Any]:
    """Give what a table's page shows. Its unknown IDs are read only where there are some; the trail notes who saw them."""
    unknown = read_unknown(table.upload) if table.unknown_count and table.upload is not None else []
    if unknown:
        audit.record(
            table.org, request.caller.user, "unknown_ids.view", "submission", table.submission.public_id,
            table=table.name,
        )  # fmt: skip
    causes = list_causes(table, unknown)
    return {
        "table": table,
        "submission": table.submission,
        "upload": table.upload,
        "working": is_working(table),
        "stages": list_stages(table),
        "causes": causes,
        "mendable": [line for line in causes if line.mendable] if unknown else [],
        # What no mend clears comes first: a person has to find out what these are.
        "unknown": sorted(unknown, key=lambda one: one.cause in MENDABLE)[:SHOWN_UNKNOWN],
        "warning": find_warning(table),
        "sending": find_sending(table).first() if table.state == TableState.UPLOADING else None,
        "max_bytes": most_bytes(),
        "may_send": table.is_patient_table or _has_patients(table.submission),
    }


def _has_patients(submission: Submission) -> bool:
    """Tell whether the patient IDs are registered."""
    return submission.tables.filter(is_patient_table=True).exclude(accepted=None).exists()


@require_POST
@member_view
def mend_table(request: MemberRequest, public_id: UUID, table_name: str) -> HttpResponse:
    """Have a mended copy of the refused file made, with the IDs of the causes that were ticked."""
    table = fetch_table(request.caller, public_id, table_name)
    try:
        start_mend(request.caller, table, request.POST.getlist("cause"))
    except InputError as error:
        messages.error(request, str(error))
    return redirect("table", public_id, table_name)


@require_POST
@member_view
def cancel_file(request: MemberRequest, public_id: UUID, table_name: str) -> HttpResponse:
    """Give up the file that is coming in, in pieces, whoever sends it."""
    cancel_sending(request.caller, fetch_table(request.caller, public_id, table_name))
    messages.success(request, "The upload is cancelled. Nothing of it was kept.")
    return redirect("table", public_id, table_name)


@require_GET
@member_view
def database(request: MemberRequest, public_id: UUID, table_name: str) -> FileResponse:
    """Hand out a table's database; the trail notes who took it."""
    table = fetch_table(request.caller, public_id, table_name)
    try:
        with hold_file(table, DATABASE) as path:
            file = path.open("rb")
    except FileNotFoundError:
        raise NotFound("This table has no database: no file of it was accepted yet.") from None
    audit.record(
        table.org, request.caller.user, "database.download", "submission", table.submission.public_id, table=table.name
    )
    response = FileResponse(file, content_type=DUCKDB_TYPE)
    response["Content-Disposition"] = content_disposition_header(True, f"{table.name}.duckdb") or "attachment"
    return response


@require_POST
@member_view
def remove_table(request: MemberRequest, public_id: UUID, table_name: str) -> HttpResponse:
    """Delete a table with its files."""
    delete_table(request.caller, fetch_table(request.caller, public_id, table_name))
    messages.success(request, f"The table {table_name} and its files are deleted.")
    return redirect("submission", public_id)


@require_POST
@member_view
def remove_submission(request: MemberRequest, public_id: UUID) -> HttpResponse:
    """Delete a submission with its tables and files."""
    submission = fetch_submission(request.caller, public_id)
    cohort = submission.cohort
    delete_submission(request.caller, submission)
    messages.success(request, f"{submission.name} and its files are deleted.")
    return redirect("cohort", cohort.public_id)


@require_POST
@member_view
def remove_cohort(request: MemberRequest, public_id: UUID) -> HttpResponse:
    """Delete a cohort that has no submission."""
    cohort = fetch(request.caller, own(request.caller, Cohort), public_id)
    delete_cohort(request.caller, cohort)
    messages.success(request, f"{cohort.name} is deleted.")
    return redirect("cohorts")
