"""The API's addresses."""

from __future__ import annotations

from importlib.util import find_spec

from django.urls import URLPattern, URLResolver, include, path, re_path

from rowmill.api.base import NoSuchAddress
from rowmill.api.chunks import CancelView, ChunkView, CompleteView, InitView, UploadProgressView
from rowmill.api.claims import BulkUploadView
from rowmill.api.contacts import ContactExportView, ContactSearchView, ContactsView, ContactView
from rowmill.api.docs import DocsView, SchemaView
from rowmill.api.effects import EffectView, ImportView, WaitingUploadsView
from rowmill.api.exports import ExportFileView, ExportView
from rowmill.api.jobs import JobCancelView, JobListView, JobProgressView, JobRetryView, JobView
from rowmill.api.mapping import MappingView
from rowmill.api.mends import AnnotatedView, FailedRowsView, MendView
from rowmill.api.org import OrgSettingsView
from rowmill.api.results import ResultsView
from rowmill.api.sign import SignView
from rowmill.api.submissions import CohortSubmissionsView, CohortsView, SubmissionView
from rowmill.api.tables import TableExportView, TableSearchView, TableView
from rowmill.api.tokens import RefreshView, TokenView
from rowmill.api.tus import TusDoorView, TusUploadView
from rowmill.api.undos import RemovalView, UndoView
from rowmill.api.uploads import FindingsView, UploadView

_V1: list[URLPattern | URLResolver] = [
    path("auth/token/", TokenView.as_view(), name="api-token"),
    path("auth/token/refresh/", RefreshView.as_view(), name="api-token-refresh"),
    path("claims/bulk/upload/", BulkUploadView.as_view(), name="api-claims-upload"),
    path("claims/csv-jobs/", JobListView.as_view(), name="api-jobs"),
    path("claims/csv-jobs/<uuid:job_id>/", JobView.as_view(), name="api-job"),
    path("claims/csv-jobs/<uuid:job_id>/progress/", JobProgressView.as_view(), name="api-job-progress"),
    path("claims/csv-jobs/<uuid:job_id>/results/", ResultsView.as_view(), name="api-job-results"),
    path("claims/csv-jobs/<uuid:job_id>/retry/", JobRetryView.as_view(), name="api-job-retry"),
    path("claims/csv-jobs/<uuid:job_id>/cancel/", JobCancelView.as_view(), name="api-job-cancel"),
    path("jobs/<uuid:job_id>/undo/", UndoView.as_view(), name="api-job-undo"),
    path("jobs/<uuid:job_id>/removal/", RemovalView.as_view(), name="api-job-removal"),
    path("org/", OrgSettingsView.as_view(), name="api-org"),
    path("contacts/", ContactsView.as_view(), name="api-contacts"),
    path("contacts/search/", ContactSearchView.as_view(), name="api-contacts-search"),
    path("contacts/export/", ContactExportView.as_view(), name="api-contacts-export"),
    path("contacts/<int:contact_id>/", ContactView.as_view(), name="api-contact"),
    path("exports/<uuid:export_id>/", ExportView.as_view(), name="api-export"),
    path("exports/<uuid:export_id>/file/", ExportFileView.as_view(), name="api-export-file"),
    path("tables/<slug:kind>/", TableView.as_view(), name="api-table-rows"),
    path("tables/<slug:kind>/search/", TableSearchView.as_view(), name="api-table-rows-search"),
    path("tables/<slug:kind>/rows.csv", TableExportView.as_view(), name="api-table-rows-csv"),
    path("cohorts/", CohortsView.as_view(), name="api-cohorts"),
    path("cohorts/<uuid:cohort_id>/submissions/", CohortSubmissionsView.as_view(), name="api-submissions"),
    path("submissions/<uuid:submission_id>/", SubmissionView.as_view(), name="api-submission"),
    path("uploads/tus/", TusDoorView.as_view(), name="api-tus"),
    path("uploads/tus/<uuid:upload_id>/", TusUploadView.as_view(), name="api-tus-upload"),
    path("uploads/waiting/", WaitingUploadsView.as_view(), name="api-uploads-waiting"),
    path("uploads/<uuid:upload_id>/", UploadView.as_view(), name="api-upload"),
    path("uploads/<uuid:upload_id>/findings/", FindingsView.as_view(), name="api-upload-findings"),
    path("uploads/<uuid:upload_id>/mapping/", MappingView.as_view(), name="api-upload-mapping"),
    path("uploads/<uuid:upload_id>/effect/", EffectView.as_view(), name="api-upload-effect"),
    path("uploads/<uuid:upload_id>/import/", ImportView.as_view(), name="api-upload-import"),
    path("uploads/<uuid:upload_id>/mend/", MendView.as_view(), name="api-upload-mend"),
    path("uploads/<uuid:upload_id>/failed-rows.csv", FailedRowsView.as_view(), name="api-upload-failed-rows"),
    path("uploads/<uuid:upload_id>/annotated.xlsx", AnnotatedView.as_view(), name="api-upload-annotated"),
]
if find_spec("rowmill.api.accounts_urls"):
    _V1.append(path("", include("rowmill.api.accounts_urls")))

_DOOR: list[URLPattern | URLResolver] = [
    path("init/", InitView.as_view(), name="api-upload-init"),
    path("chunk/", ChunkView.as_view(), name="api-upload-chunk"),
    path("sign/", SignView.as_view(), name="api-upload-sign"),
    path("complete/", CompleteView.as_view(), name="api-upload-complete"),
    path("progress/", UploadProgressView.as_view(), name="api-upload-progress"),
    path("cancel/", CancelView.as_view(), name="api-upload-cancel"),
]

urlpatterns: list[URLPattern | URLResolver] = [
    path("v1/", include(_V1)),
    path("upload/", include(_DOOR)),
    path("schema/", SchemaView.as_view(), name="api-schema"),
    path("docs/", DocsView.as_view(), name="api-docs"),
    re_path("", NoSuchAddress.as_view(), name="api-no-such-address"),
]
