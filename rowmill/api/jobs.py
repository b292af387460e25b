"""Watches and steers jobs by API: list, detail, progress, retry, cancel, delete."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import status
from rest_framework.generics import GenericAPIView
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import BaseSerializer

from rowmill.api.base import OrgView
from rowmill.api.filters import JobFilter
from rowmill.api.problems import problems
from rowmill.api.shapes import JobShape, ProgressShape, RetryShape, describe_jobs, describe_one, describe_progress
from rowmill.jobs.progress import read_progress
from rowmill.jobs.steer import cancel_job, delete_job, retry_job
from rowmill.models import Job
from rowmill.orgs import own

READ = problems(401, 403, 404)
STEER = problems(401, 403, 404, 409, 415)


class JobListView(OrgView, GenericAPIView[Job]):
    """The org's jobs."""

    queryset = Job.objects.none()
    serializer_class: type[BaseSerializer[Any]] = JobShape
    filterset_class = JobFilter

    @extend_schema(
        operation_id="list_jobs",
        tags=["jobs"],
        responses={(200, "application/json"): JobShape(many=True), **problems(400, 401, 403, 404)},
    )
    def get(self, request: Request) -> Response:
        """List the jobs, newest first, page by page."""
        jobs = own(self.caller, Job).filter(deleted_at=None)
        jobs = jobs.select_related("org", "upload", "created_by", "cancelled_by")
        page = self.paginate_queryset(self.filter_queryset(jobs)) or []
        return self.get_paginated_response(describe_jobs(page))


class JobView(OrgView):
    """One job."""

    @extend_schema(operation_id="get_job", tags=["jobs"], responses={200: JobShape, **READ})
    def get(self, request: Request, job_id: str) -> Response:
        """Give a job with its counts."""
        job = self.fetch_job(job_id)
        return Response(describe_one(job))

    @extend_schema(operation_id="delete_job", tags=["jobs"], responses={204: None, **STEER})
    def delete(self, request: Request, job_id: str) -> Response:
        """Remove a final job's bytes and results. Its record and its audit trail stay."""
        delete_job(self.caller, self.fetch_job(job_id))
        return Response(status=status.HTTP_204_NO_CONTENT)


class JobProgressView(OrgView):
    """How far a job is."""

    @extend_schema(operation_id="get_progress", tags=["jobs"], responses={200: ProgressShape, **READ})
    def get(self, request: Request, job_id: str) -> Response:
        """Tell how far a job is. Ask every second or two until `final` is true."""
        job = self.fetch_job(job_id)
        return Response(describe_progress(job, read_progress(job)))


class JobRetryView(OrgView):
    """Once more."""

    @extend_schema(operation_id="retry_job", tags=["jobs"], request=None, responses={202: RetryShape, **STEER})
    def post(self, request: Request, job_id: str) -> Response:
        """Ask the failed and the unprocessed rows again, and no others."""
        rows = retry_job(self.caller, self.fetch_job(job_id))
        job = self.fetch_job(job_id)
        return Response({**describe_one(job), "retried_rows": rows}, status=status.HTTP_202_ACCEPTED)


class JobCancelView(OrgView):
    """Stop."""

    @extend_schema(operation_id="cancel_job", tags=["jobs"], request=None, responses={202: JobShape, **STEER})
    def post(self, request: Request, job_id: str) -> Response:
        """Stop a job. What is done is kept; the other rows are listed as unprocessed."""
        cancel_job(self.caller, self.fetch_job(job_id))
        job = self.fetch_job(job_id)
        return Response(describe_one(job), status=status.HTTP_202_ACCEPTED)
