"""Cohort files by API: makes cohorts, submissions and tables, takes a table's file in, says how far it is and what is wrong."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from django.contrib import messages
from django.http import HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.urls import reverse
from drf_spectacular.utils import OpenApiResponse, extend_schema, extend_schema_serializer
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response

from rowmill import audit
from rowmill.api.base import OrgView
from rowmill.api.problems import problems
from rowmill.api.receiving import OneFileHandler, ReceivingView, need_one_file
from rowmill.cohorts.files import as_json, read_unknown
from rowmill.cohorts.intake import mend_table, most_bytes, take_table_file
from rowmill.cohorts.status import describe_table
from rowmill.cohorts.submissions import add_table, create_cohort, create_submission, fetch_submission, fetch_table
from rowmill.errors import InputError
from rowmill.models import Cohort, Submission
from rowmill.orgs import fetch, own

WRITES = problems(400, 401, 403, 404)


class NameForm(serializers.Serializer[Any]):
    """A name."""

    name = serializers.CharField(max_length=120)


class TableForm(serializers.Serializer[Any]):
    """A table to be."""

    name = serializers.CharField(max_length=60, help_text="Small letters, digits, - and _: lab_results.")
    id_column = serializers.CharField(required=False, allow_blank=True, max_length=120, help_text="Header of its IDs.")


class MendForm(serializers.Serializer[Any]):
    """Which causes shall be mended."""

    causes = serializers.ListField(child=serializers.CharField(max_length=40), max_length=20)


@extend_schema_serializer(component_name="Cohort")
class CohortShape(serializers.Serializer[Any]):
    """A cohort."""

    id = serializers.UUIDField()
    name = serializers.CharField()
    submissions = serializers.ListField(child=serializers.UUIDField())


@extend_schema_serializer(component_name="Submission")
class SubmissionShape(serializers.Serializer[Any]):
    """A submission with how its tables stand."""

    id = serializers.UUIDField()
    cohort = serializers.UUIDField()
    name = serializers.CharField()
    tables = serializers.ListField(child=serializers.DictField())


class CohortsView(OrgView):
    """The org's cohorts."""

    @extend_schema(
        operation_id="list_cohorts", tags=["cohorts"], responses={200: CohortShape(many=True), **problems(401, 403)}
    )
    def get(self, request: Request) -> Response:
        """List the org's cohorts by name."""
        return Response([describe_cohort(cohort) for cohort in own(self.caller, Cohort)])

    @extend_schema(
        operation_id="create_cohort",
        tags=["cohorts"],
        request=NameForm,
        responses={201: CohortShape, **problems(400, 401, 403)},
    )
    def post(self, request: Request) -> Response:
        """Make a cohort."""
        cohort = create_cohort(self.caller, _read(NameForm, request)["name"])
        return Response(describe_cohort(cohort), status=status.HTTP_201_CREATED)


class CohortSubmissionsView(OrgView):
    """A cohort's submissions."""

    @extend_schema(
        operation_id="create_submission", tags=["cohorts"], request=NameForm, responses={201: SubmissionShape, **WRITES}
    )
    def post(self, request: Request, cohort_id: str) -> Response:
        """Make a submission, with an empty patient table."""
        cohort = fetch(self.caller, own(self.caller, Cohort), str(cohort_id))
        submission = create_submission(self.caller, cohort, _read(NameForm, request)["name"])
        return Response(describe_submission(submission), status=status.HTTP_201_CREATED)


class SubmissionView(OrgView):
    """One submission."""

    @extend_schema(
        operation_id="get_submission", tags=["cohorts"], responses={200: SubmissionShape, **problems(401, 403, 404)}
    )
    def get(self, request: Request, submission_id: str) -> Response:
        """Give a submission with how each of its tables stands."""
        return Response(describe_submission(fetch_submission(self.caller, str(submission_id))))

    @extend_schema(
        operation_id="add_table",
        tags=["cohorts"],
        request=TableForm,
        responses={201: OpenApiResponse(SubmissionShape), **WRITES},
    )
    def post(self, request: Request, submission_id: str) -> Response:
        """Add a table."""
        submission = fetch_submission(self.caller, str(submission_id))
        asked = _read(TableForm, request)
        add_table(self.caller, submission, asked["name"], asked.get("id_column", ""))
        return Response(describe_submission(submission), status=status.HTTP_201_CREATED)


def _read(form: type[serializers.Serializer[Any]], request: Request) -> dict[str, Any]:
    """Read a form. Raises: ValidationError."""
    filled = form(data=request.data)
    filled.is_valid(raise_exception=True)
    found: dict[str, Any] = filled.validated_data
    return found


def describe_cohort(cohort: Cohort) -> dict[str, Any]:
    """Give a cohort."""
    submissions = [str(public_id) for public_id in cohort.submissions.values_list("public_id", flat=True)]
    return {"id": str(cohort.public_id), "name": cohort.name, "submissions": submissions}


def describe_submission(submission: Submission) -> dict[str, Any]:
    """Give a submission."""
    tables = submission.tables.select_related("submission", "upload", "accepted")
    return {
        "id": str(submission.public_id),
        "cohort": str(submission.cohort.public_id),
        "name": submission.name,
        "tables": [describe_table(table) for table in tables],
    }


# ------------------------------------------------------------------------------------------------ a table's file


class TableHandler(OneFileHandler):
    """Takes a cohort table's file, up to its own limit."""

    def most_bytes(self) -> int:
        """Give the limit."""
        return most_bytes()


@extend_schema(exclude=True)
class SubmissionUploadView(ReceivingView):
    """The door for a table's file, at the agreed address: it takes the API's tokens and a browser's session."""

    handler_class = TableHandler
    table_name = ""  # once it is known that there is such a table

    def post(self, request: Request, submission_id: str) -> Response:
        """Take a file for a table; a worker checks it. 202 with the table's state, which `status` tells from then on."""
        data: Mapping[str, Any] = request.data if isinstance(request.data, Mapping) else {}
        fetch_submission(self.caller, str(submission_id))
        name = str(data.get("table") or "")
        if not name:
            raise InputError("Say which table the file is for, as the field `table`.", code="bad_input", field="table")
        table = fetch_table(self.caller, str(submission_id), name)
        self.table_name = table.name
        file = need_one_file(self.handler, request.FILES)
        table = take_table_file(self.caller, table, file.name or "", file.chunks())
        address = reverse("table-status", args=[table.submission.public_id, table.name])
        return Response(describe_table(table), status=status.HTTP_202_ACCEPTED, headers={"Location": address})

    def finalize_response(self, request: Request, response: HttpResponseBase, *args: Any, **kwargs: Any) -> Response:
        """Lead a person whose browser sent the plain form back to the table's page, with what is wrong."""
        final = super().finalize_response(request, response, *args, **kwargs)  # type: ignore[arg-type]
        headers = request.headers
        plain = "text/html" in headers.get("Accept", "") and not {"Authorization", "HX-Request"} & set(headers)
        if not (plain and self.table_name) or final.status_code in (401, 403, 404):
            return final
        if final.status_code != status.HTTP_202_ACCEPTED:
            messages.error(request._request, str(final.data.get("detail", "")))
        address = reverse("table", args=[kwargs["submission_id"], self.table_name])
        return cast(Response, HttpResponseRedirect(address, status=303))


@extend_schema(exclude=True)
class TableStatusView(OrgView):
    """How a table stands."""

    def get(self, request: Request, submission_id: str, table_name: str) -> Response:
        """Say how far a table's file is, with the count of IDs as soon as it is known; it is over once `final`."""
        return Response(describe_table(fetch_table(self.caller, str(submission_id), table_name)))


@extend_schema(exclude=True)
class UnknownIdsView(OrgView):
    """The IDs that are not in the patient file."""

    def get(self, request: Request, submission_id: str, table_name: str) -> Response:
        """List the first 1,000 unknown IDs of the refused file, each with its cause and the known ID that it likely was."""
        table = fetch_table(self.caller, str(submission_id), table_name)
        found = read_unknown(table.upload) if table.upload else []
        audit.record(
            table.org, self.caller.user, "unknown_ids.read", "submission", table.submission.public_id, table=table.name
        )
        return Response({"unknown_count": table.unknown_count, "unknown_ids": [as_json(one) for one in found]})


@extend_schema(exclude=True)
class TableMendView(OrgView):
    """The rescue of lost IDs."""

    def post(self, request: Request, submission_id: str, table_name: str) -> Response:
        """Have a mended copy of the refused file made and checked."""
        table = fetch_table(self.caller, str(submission_id), table_name)
        table = mend_table(self.caller, table, _read(MendForm, request)["causes"])
        return Response(describe_table(table), status=status.HTTP_202_ACCEPTED)
