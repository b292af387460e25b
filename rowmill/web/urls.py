"""The pages' addresses. None holds a cell of any file, nor a file's name: ids and words of ours only."""

from __future__ import annotations

from importlib.util import find_spec

from django.urls import URLPattern, URLResolver, include, path
from django.views.generic import RedirectView

from rowmill.web import (
    cohorts,
    contact,
    contacts,
    downloads,
    exports,
    imports,
    jobs,
    mends,
    prechecks,
    tables,
    undoing,
    uploads,
    verdicts,
)

urlpatterns: list[URLPattern | URLResolver] = [
    path("", RedirectView.as_view(pattern_name="bulk-upload", permanent=False), name="home"),
    path("bulk-upload", uploads.bulk_upload, name="bulk-upload"),
    path("bulk-upload/template.csv", downloads.template_file, name="template-file"),
    path("bulk-upload/sample.csv", downloads.sample_file, name="sample-file"),
    path("uploads/<uuid:public_id>/", verdicts.upload_page, name="upload"),
    path("uploads/<uuid:public_id>/verdict", verdicts.upload_verdict, name="upload-verdict"),
    path("uploads/<uuid:public_id>/discard", verdicts.discard, name="upload-discard"),
    path("uploads/<uuid:public_id>/confirm", uploads.confirm, name="upload-confirm"),
    path("uploads/<uuid:public_id>/mapping", imports.mapping_page, name="upload-mapping"),
    path("uploads/<uuid:public_id>/effect", imports.effect_page, name="upload-effect"),
    path("uploads/<uuid:public_id>/import", imports.start, name="upload-import"),
    path("uploads/<uuid:public_id>/excerpt", mends.excerpt, name="upload-excerpt"),
    path("uploads/<uuid:public_id>/examples", mends.examples, name="upload-examples"),
    path("uploads/<uuid:public_id>/mend", mends.mend, name="upload-mend"),
    path("uploads/<uuid:public_id>/mended.csv", mends.mended_file, name="upload-mended"),
    path("uploads/<uuid:public_id>/failed-rows.csv", mends.failed_rows, name="upload-failed-rows"),
    path("uploads/<uuid:public_id>/annotated.xlsx", mends.annotated, name="upload-annotated"),
    path("precheck-validation", prechecks.door, name="prechecks"),
    path("precheck-validation/<uuid:public_id>", prechecks.precheck_page, name="precheck"),
    path("precheck-validation/sent/<uuid:public_id>", prechecks.sent, name="precheck-sent"),
    path("precheck-validation/<uuid:public_id>/findings.csv", prechecks.findings_csv, name="precheck-csv"),
    path("precheck-validation/<uuid:public_id>/findings.json", prechecks.findings_json, name="precheck-json"),
    path("jobs/", jobs.job_list, name="jobs"),
    path("jobs/<uuid:public_id>/", jobs.job_page, name="job"),
    path("jobs/<uuid:public_id>/cancel", jobs.cancel, name="job-cancel"),
    path("jobs/<uuid:public_id>/retry", jobs.retry, name="job-retry"),
    path("jobs/<uuid:public_id>/undo", undoing.undo_page, name="job-undo"),
    path("jobs/<uuid:public_id>/delete", jobs.delete, name="job-delete"),
    path("jobs/<uuid:public_id>/to-mend.csv", downloads.left_rows, name="job-left-rows"),
    path("jobs/<uuid:public_id>/results.csv", downloads.results, {"export": "csv"}, name="job-csv"),
    path("jobs/<uuid:public_id>/results.xlsx", downloads.results, {"export": "xlsx"}, name="job-xlsx"),
    path("jobs/<uuid:public_id>/workbook", downloads.workbook, name="job-workbook"),
    path("contacts/", contacts.contact_list, name="contacts"),
    path("contacts/columns", contacts.columns, name="contact-columns"),
    path("contacts/export", contacts.export, name="contacts-export"),
    path("contacts/imports/<uuid:public_id>/remove", contacts.remove_import, name="contacts-remove"),
    path("contacts/<int:contact_id>/", contact.contact_page, name="contact"),
    path("contacts/<int:contact_id>/edit", contact.edit, name="contact-edit"),
    path("contacts/<int:contact_id>/delete", contact.delete, name="contact-delete"),
    path("exports/", exports.export_list, name="exports"),
    path("exports/<uuid:public_id>/", exports.export_page, name="export"),
    path("exports/<uuid:public_id>/file", exports.export_file, name="export-file"),
    path("exports/<uuid:public_id>/delete", exports.delete, name="export-delete"),
    path("tables/<slug:slug>/", tables.rows, name="rows"),
    path("tables/<slug:slug>/rows.csv", tables.export, name="rows-csv"),
    path("cohorts/", cohorts.cohort_list, name="cohorts"),
    path("cohorts/<uuid:public_id>/", cohorts.cohort_page, name="cohort"),
    path("cohorts/<uuid:public_id>/delete", cohorts.remove_cohort, name="cohort-delete"),
    path("submissions/<uuid:public_id>/", cohorts.submission_page, name="submission"),
    path("submissions/<uuid:public_id>/delete", cohorts.remove_submission, name="submission-delete"),
    path("submissions/<uuid:public_id>/<slug:table_name>", cohorts.table_page, name="table"),
    path("submissions/<uuid:public_id>/<slug:table_name>/mend", cohorts.mend_table, name="table-mend"),
    path("submissions/<uuid:public_id>/<slug:table_name>/cancel", cohorts.cancel_file, name="table-cancel"),
    path("submissions/<uuid:public_id>/<slug:table_name>/delete", cohorts.remove_table, name="table-delete"),
    path("submissions/<uuid:public_id>/<slug:table_name>/database", cohorts.database, name="table-database"),
]
if find_spec("rowmill.web.people_urls"):
    urlpatterns.append(path("", include("rowmill.web.people_urls")))
