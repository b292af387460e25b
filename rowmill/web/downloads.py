"""What a person takes home: results as CSV or XLSX, the template, a sample to try."""

from __future__ import annotations

import csv
import io
import tempfile
from collections.abc import Callable
from pathlib import PurePath
from typing import Any, TypeVar
from uuid import UUID

from django.conf import settings
from django.http import FileResponse, HttpResponse, HttpResponseRedirect, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.urls import reverse
from django.utils.http import content_disposition_header
from django.views.decorators.http import require_GET, require_POST

from rowmill import audit
from rowmill.claims.sample import make_claims
from rowmill.contacts.sample import make_contacts
from rowmill.errors import InputError, NotFound
from rowmill.jobs.exports import request_export
from rowmill.jobs.progress import list_account
from rowmill.jobs.results import OUTCOME_WORDS, iter_left_rows, iter_results
from rowmill.models import Job
from rowmill.registry import KINDS, get_kind
from rowmill.tabular.writers import write_csv, write_xlsx
from rowmill.web.frame import MemberRequest, member_view
from rowmill.web.jobs import find_job, is_large

R = TypeVar("R", bound=HttpResponseBase)
CSV_TYPE = "text/csv; charset=utf-8"
XLSX_TYPE = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
SAMPLE_ROWS, SAMPLE_SEED = 50, 1


@require_GET
@member_view
def results(request: MemberRequest, public_id: UUID, export: str) -> HttpResponseBase:
    """Hand out the results in file order, all or those of some outcomes; the trail notes who took them."""
    job = find_job(request, public_id)
    wanted = _read_outcomes(request.GET.get("outcome", ""))
    response = _give_xlsx(job, wanted) if export == "xlsx" else _give_csv(job, wanted)
    words = ",".join(wanted) if wanted else "all"
    audit.record(job.org, request.caller.user, "results.download", "job", job.public_id, export=export, outcomes=words)
    return response


@require_GET
@member_view
def left_rows(request: MemberRequest, public_id: UUID) -> HttpResponseBase:
    """Hand out the rows of an import that were rejected or failed, in the file's own columns, to be mended and sent again."""
    job = find_job(request, public_id)
    if not get_kind(job.kind).merges:
        raise NotFound("The results of this job have such rows: choose an outcome there.")
    header, lines = iter_left_rows(job)
    audit.record(job.org, request.caller.user, "results.download", "job", job.public_id, export="csv", outcomes="left")
    response = StreamingHttpResponse(write_csv(header, lines, safe=True), content_type=CSV_TYPE)
    return named(response, f"{PurePath(job.upload.name).stem or 'contacts'}-to-mend.csv")


@require_POST
@member_view
def workbook(request: MemberRequest, public_id: UUID) -> HttpResponseRedirect:
    """Have the results of a large job made into a workbook in the background, and lead there; a small one comes at once."""
    job = find_job(request, public_id)
    wanted = _read_outcomes(request.POST.get("outcome", ""))
    if not is_large(job):
        query = f"?outcome={','.join(wanted)}" if wanted else ""
        return HttpResponseRedirect(reverse("job-xlsx", args=[public_id]) + query, status=303)
    iter_results(job, wanted)  # raises where the bytes are gone
    export = request_export(request.caller, job.kind, {"outcomes": list(wanted) if wanted else None}, job)
    words = ",".join(wanted) if wanted else "all"
    audit.record(job.org, request.caller.user, "results.download", "job", job.public_id, export="xlsx", outcomes=words)
    return HttpResponseRedirect(reverse("export", args=[export.public_id]), status=303)


def _read_outcomes(text: str) -> tuple[str, ...] | None:
    """Read `ok,failed`; None means all. Raises: InputError for a word that is no outcome."""
    words = tuple(word for word in text.split(",") if word)
    if any(word not in OUTCOME_WORDS for word in words):
        raise InputError(f"outcome takes {', '.join(OUTCOME_WORDS)}, with commas between.")
    return words or None


def _give_csv(job: Job, wanted: tuple[str, ...] | None) -> StreamingHttpResponse:
    """Stream the results, safe to open in a spreadsheet."""
    header, lines = iter_results(job, wanted)
    response = StreamingHttpResponse(write_csv(header, lines, safe=True), content_type=CSV_TYPE)
    return named(response, _results_name(job, wanted, "csv"))


def _give_xlsx(job: Job, wanted: tuple[str, ...] | None) -> FileResponse:
    """Write a workbook in the scratch folder; it goes with the response."""
    header, lines = iter_results(job, wanted)
    settings.SCRATCH_DIR.mkdir(parents=True, exist_ok=True, mode=0o700)
    out = tempfile.TemporaryFile(prefix="results-", dir=settings.SCRATCH_DIR)  # noqa: SIM115 - the response closes it
    try:
        write_xlsx(header, lines, out, account=list_account(job))
        out.seek(0)
    except BaseException:
        out.close()
        raise
    return named(FileResponse(out, content_type=XLSX_TYPE), _results_name(job, wanted, "xlsx"))


def _results_name(job: Job, wanted: tuple[str, ...] | None, ending: str) -> str:
    """Name a results file after the file it answers."""
    part = f"-{'-'.join(wanted)}" if wanted else ""
    return f"{PurePath(job.upload.name).stem or 'claims'}-results{part}.{ending}"


def named(response: R, name: str) -> R:
    """Offer a response as a file of that name."""
    response["Content-Disposition"] = content_disposition_header(True, name)
    return response


@require_GET
@member_view
def template_file(request: MemberRequest) -> HttpResponse:
    """Hand out an empty file with the header that the kind reads."""
    slug, word = _read_kind(request)
    out = io.StringIO(newline="")
    csv.writer(out).writerow(column.name for column in get_kind(slug).columns)
    return named(HttpResponse(out.getvalue(), content_type=CSV_TYPE), f"{word}-template.csv")


@require_GET
@member_view
def sample_file(request: MemberRequest) -> HttpResponse:
    """Hand out a file of invented claims or contacts: the same bytes every time."""
    slug, word = _read_kind(request)
    if not has_sample(slug):
        raise NotFound("There is no sample of this kind.")
    out = io.BytesIO()
    _SAMPLES[slug](SAMPLE_ROWS, SAMPLE_SEED, out)
    return named(HttpResponse(out.getvalue(), content_type=CSV_TYPE), f"{word}-sample.csv")


def has_sample(slug: str) -> bool:
    """Tell whether there is a file of invented rows to try."""
    return slug in _SAMPLES


def _read_kind(request: MemberRequest) -> tuple[str, str]:
    """Give the kind that is asked for, and what its files are called."""
    slug = request.GET.get("kind", "")
    if slug not in KINDS or not get_kind(slug).merges:
        slug = "claim_status"
    return slug, _FILE_WORDS.get(slug, slug)


_SAMPLES: dict[str, Callable[..., Any]] = {"claim_status": make_claims, "contact_import": make_contacts}
_FILE_WORDS = {"claim_status": "claims", "contact_import": "contacts"}
