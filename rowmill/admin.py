"""Django's admin, for whoever runs the installation: who is there and what runs, but no cell of any file.

A site of its own, so that nothing that other packages register gets in (theirs would show sign-in tokens).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from allauth.account.decorators import secure_admin_login
from django.contrib import admin
from django.db import models, transaction
from django.forms import ModelForm
from django.http import HttpRequest
from django.shortcuts import redirect
from django.template.response import TemplateResponse

from rowmill import audit
from rowmill.models import (
    AuditEvent,
    Batch,
    Cohort,
    Invitation,
    Job,
    Membership,
    Org,
    PayerAccount,
    Practice,
    Precheck,
    Submission,
    SubmissionTable,
    Upload,
    UploadSession,
    User,
    Worker,
)

if TYPE_CHECKING:
    AnyAdmin = admin.ModelAdmin[Any]
else:
    AnyAdmin = admin.ModelAdmin


class OperatorSite(admin.AdminSite):
    """The admin, with the one place where passwords are changed."""

    def password_change(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> TemplateResponse:
        """Lead to the page that ends every session."""
        return redirect("account_change_password")  # type: ignore[return-value]


site = OperatorSite(name="admin")
site.site_header = site.site_title = "Rowmill"
site.index_title = "Installation"
site.login = secure_admin_login(site.login)  # type: ignore[method-assign]


class ReadOnly(AnyAdmin):
    """Shows the fields named, and changes nothing. What is not named is not shown."""

    actions = None
    show_full_result_count = False
    list_per_page = 50

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Say no: rows are made by Rowmill's own verbs."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: models.Model | None = None) -> bool:
        """Say no."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: models.Model | None = None) -> bool:
        """Say no."""
        return False

    def get_readonly_fields(self, request: HttpRequest, obj: models.Model | None = None) -> tuple[str, ...]:
        """Give every field that is shown."""
        return tuple(str(name) for name in self.fields or ())


@admin.register(Org, site=site)
class OrgAdmin(ReadOnly):
    """The orgs, without their keys."""

    fields = ("public_id", "name", "iso_dates", "created_at")
    list_display = ("name", "public_id", "created_at")
    search_fields = ("name",)


@admin.register(User, site=site)
class UserAdmin(ReadOnly):
    """The people. An operator may disable somebody, or make another operator; passwords are nobody's to see or set."""

    fields = ("email", "name", "is_active", "is_staff", "is_superuser", "last_login", "created_at")
    list_display = ("email", "name", "is_active", "is_staff", "last_login")
    list_filter = ("is_active", "is_staff")
    search_fields = ("email", "name")

    def has_change_permission(self, request: HttpRequest, obj: models.Model | None = None) -> bool:
        """Leave it to Django: who may change users."""
        return admin.ModelAdmin.has_change_permission(self, request, obj)

    def get_readonly_fields(self, request: HttpRequest, obj: models.Model | None = None) -> tuple[str, ...]:
        """Keep the address, and for oneself the switches too: nobody locks themselves out."""
        fixed = ("email", "last_login", "created_at")
        return (*fixed, "is_active", "is_staff", "is_superuser") if obj == request.user else fixed

    @transaction.atomic
    def save_model(self, request: HttpRequest, obj: User, form: ModelForm[Any], change: bool) -> None:
        """Save, and put it into the trail of each of the person's orgs."""
        super().save_model(request, obj, form, change)
        assert isinstance(request.user, User)
        for membership in Membership.objects.filter(user=obj).select_related("org"):
            audit.record(membership.org, request.user, "user.changed", "user", obj.pk, is_active=obj.is_active)


@admin.register(Membership, site=site)
class MembershipAdmin(ReadOnly):
    """Who belongs to which org."""

    fields = ("org", "user", "role", "created_at")
    list_display = ("user", "org", "role")
    list_filter = ("role",)
    list_select_related = ("org", "user")


@admin.register(Invitation, site=site)
class InvitationAdmin(ReadOnly):
    """Who is invited, without the token."""

    fields = ("org", "email", "role", "invited_by", "created_at", "expires_at", "accepted_at")
    list_display = ("email", "org", "role", "expires_at", "accepted_at")


@admin.register(Practice, site=site)
class PracticeAdmin(ReadOnly):
    """The practices."""

    fields = ("org", "public_id", "name", "created_at")
    list_display = ("name", "org")


@admin.register(PayerAccount, site=site)
class PayerAccountAdmin(ReadOnly):
    """The payer accounts, without credentials."""

    fields = (
        "org",
        "public_id",
        "payer",
        "payer_id",
        "practice",
        "environment",
        "base_url",
        "broken_code",
        "broken_at",
        "tested_at",
    )
    list_display = ("payer", "org", "payer_id", "broken_code", "tested_at")


@admin.register(Upload, site=site)
class UploadAdmin(ReadOnly):
    """The uploads: their story, not their content. Header, mapping, inspection and findings stay out."""

    fields = (
        "org", "public_id", "kind", "state", "size_bytes", "sha256", "row_count", "created_by", "created_at",
        "checked_at", "purge_after", "purged_at",
    )  # fmt: skip
    list_display = ("public_id", "org", "kind", "state", "row_count", "size_bytes", "created_at")
    list_filter = ("state", "kind")
    search_fields = ("public_id",)


@admin.register(UploadSession, site=site)
class UploadSessionAdmin(ReadOnly):
    """Files on their way in. The sender's fingerprint stays out, as the name of the file does."""

    fields = (
        "org", "upload", "door", "state", "size_bytes", "chunk_bytes", "chunk_count", "offset_bytes", "created_by",
        "created_at", "expires_at", "closed_at",
    )  # fmt: skip
    list_display = ("upload", "org", "door", "state", "size_bytes", "created_at", "expires_at")
    list_filter = ("state", "door")


@admin.register(Job, site=site)
class JobAdmin(ReadOnly):
    """The jobs."""

    fields = (
        "org", "public_id", "kind", "state", "total_rows", "celery_task_id", "retries", "created_by", "created_at",
        "processing_started_at", "completed_at", "cancelled_at", "cancelled_by", "deleted_at",
    )  # fmt: skip
    list_display = ("public_id", "org", "kind", "state", "total_rows", "created_at")
    list_filter = ("state", "kind")
    search_fields = ("public_id",)


@admin.register(Batch, site=site)
class BatchAdmin(ReadOnly):
    """The batches: where work stands, and who holds it."""

    fields = (
        "org", "job", "lane", "first_row", "last_row", "state", "claims", "attempts", "owner", "lease_until",
        "available_at", "waiting_reason", "ok", "not_found", "rejected", "failed",
    )  # fmt: skip
    list_display = ("id", "job", "first_row", "last_row", "state", "claims", "attempts", "lease_until")
    list_filter = ("state", "lane")
    list_select_related = ("job",)


@admin.register(AuditEvent, site=site)
class AuditEventAdmin(ReadOnly):
    """The trail: who did what to which."""

    fields = ("org", "position", "at", "actor_name", "verb", "target_type", "target_id", "details", "mac")
    list_display = ("at", "org", "actor_name", "verb", "target_type", "target_id")
    list_filter = ("verb", "target_type")
    search_fields = ("target_id", "actor_name")


@admin.register(Worker, site=site)
class WorkerAdmin(ReadOnly):
    """Which processes are at work, and when each gave its last sign of life."""

    fields = ("uuid", "role", "host", "pid", "version", "lanes", "concurrency", "doing", "started_at", "beat_at")
    list_display = ("role", "host", "pid", "version", "doing", "beat_at")
    list_filter = ("role",)


@admin.register(Precheck, site=site)
class PrecheckAdmin(ReadOnly):
    """The prechecks: how far each is. What they found stays with the org."""

    fields = (
        "public_id",
        "org",
        "upload",
        "status",
        "stage",
        "progress",
        "claims",
        "lease_until",
        "created_at",
        "finished_at",
    )
    list_display = ("public_id", "org", "status", "stage", "progress", "created_at")
    list_filter = ("status",)
    list_select_related = ("org",)


@admin.register(Cohort, site=site)
class CohortAdmin(ReadOnly):
    """The cohorts."""

    fields = ("public_id", "org", "created_by", "created_at")
    list_display = ("public_id", "org", "created_at")


@admin.register(Submission, site=site)
class SubmissionAdmin(ReadOnly):
    """The submissions."""

    fields = ("public_id", "org", "cohort", "created_by", "created_at")
    list_display = ("public_id", "org", "cohort", "created_at")


@admin.register(SubmissionTable, site=site)
class SubmissionTableAdmin(ReadOnly):
    """The tables of submissions: how each stands, in counts. Names, messages and causes stay with the org."""

    fields = (
        "org", "submission", "is_patient_table", "state", "code", "upload", "row_count", "id_count", "unknown_count",
        "checked_at", "seconds", "accepted", "accepted_at", "accepted_rows", "accepted_ids",
    )  # fmt: skip
    list_display = ("id", "org", "submission", "is_patient_table", "state", "accepted_rows", "checked_at")
    list_filter = ("state", "is_patient_table")
    list_select_related = ("org", "submission")
