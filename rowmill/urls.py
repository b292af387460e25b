"""All addresses: health, the API, sign-in, the admin, the pages."""

from __future__ import annotations

from django.urls import URLPattern, URLResolver, include, path, re_path

from rowmill.admin import site
from rowmill.api.base import NoSuchAddress
from rowmill.api.prechecks import PrecheckStatusView, PrecheckUploadView
from rowmill.api.submissions import SubmissionUploadView, TableMendView, TableStatusView, UnknownIdsView
from rowmill.web.health import health, ready

urlpatterns: list[URLPattern | URLResolver] = [
    path("health/", health, name="health"),
    path("health/ready", ready, name="ready"),
    path("api/", include("rowmill.api.urls")),
    # Addresses that were agreed without the prefix of the API; they take its tokens.
    path("precheck-validation/upload", PrecheckUploadView.as_view(), name="precheck-upload"),
    path("precheck-validation/api/<uuid:precheck_id>/status", PrecheckStatusView.as_view(), name="precheck-status"),
    path("submissions/<uuid:submission_id>/upload", SubmissionUploadView.as_view(), name="table-upload"),
    path("submissions/<uuid:submission_id>/<slug:table_name>/status", TableStatusView.as_view(), name="table-status"),
    path(
        "submissions/<uuid:submission_id>/<slug:table_name>/unknown-ids", UnknownIdsView.as_view(), name="unknown-ids"
    ),
    path("submissions/<uuid:submission_id>/<slug:table_name>/mend-ids", TableMendView.as_view(), name="api-table-mend"),
    # What is asked of them under no such ID gets a problem as JSON, not a page.
    re_path(r"^precheck-validation/api/", NoSuchAddress.as_view(), name="no-such-precheck"),
    re_path(r"^submissions/[^/]*/upload$", NoSuchAddress.as_view(), name="no-such-submission"),
    re_path(r"^submissions/[^/]*/[^/]*/status$", NoSuchAddress.as_view(), name="no-such-table-status"),
    re_path(r"^submissions/[^/]*/[^/]*/unknown-ids$", NoSuchAddress.as_view(), name="no-such-table-ids"),
    re_path(r"^submissions/[^/]*/[^/]*/mend-ids$", NoSuchAddress.as_view(), name="no-such-table-mend"),
    path("accounts/", include("rowmill.web.account_urls")),
    path("admin/", site.urls),
    path("", include("rowmill.web.urls")),
]

handler500 = "rowmill.web.frame.server_error"
