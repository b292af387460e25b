"""What an import would do, by API: have it worked out, read it, start the import."""

from __future__ import annotations

import time
from typing import Any

from django.urls import reverse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema, extend_schema_serializer
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response

from rowmill import audit
from rowmill.api.base import OrgView
from rowmill.api.chunks import read_sha256
from rowmill.api.problems import problems
from rowmill.api.shapes import JobShape, describe_one
from rowmill.api.uploads import fetch_upload
from rowmill.errors import NotFound
from rowmill.jobs.imports import ask_effect, need_bulk, start_import
from rowmill.merging.effects import (
    UNDER_WAY,
    awaits,
    find_effect,
    is_above,
    is_outdated,
    is_waiting,
    policy_of,
    read_effect_examples,
    read_policy,
    share_percent,
)
from rowmill.merging.preview import COUNTS
from rowmill.merging.target import POLICIES
from rowmill.models import EffectState, ImportEffect, Upload, UploadState
from rowmill.orgs import Caller, own
from rowmill.uploads.handouts import need_bytes

PATIENCE_SECONDS = 2.0  # so long a POST waits for the effect; a larger file's is asked for by GET
LOOK_SECONDS = 0.1
MOST_WAITING = 20
DUPLICATES = OpenApiParameter(
    "duplicates", OpenApiTypes.STR, enum=list(POLICIES), description="Under which policy; else the one last chosen."
)


class EffectCauseShape(serializers.Serializer[Any]):
    """One cause for which rows would be rejected."""

    message = serializers.CharField()
    rows = serializers.IntegerField()


class EffectChangeShape(serializers.Serializer[Any]):
    """One cell that would change."""

    field = serializers.CharField()
    before = serializers.JSONField(allow_null=True)
    after = serializers.JSONField(allow_null=True)


class EffectExampleShape(serializers.Serializer[Any]):
    """One row that is there and would change."""

    id = serializers.IntegerField(help_text="In the table that is imported into.")
    row = serializers.IntegerField(help_text="Of the file.")
    changes = EffectChangeShape(many=True)


@extend_schema_serializer(component_name="Effect")
class EffectShape(serializers.Serializer[Any]):
    """What an import would do; nothing is written yet. inserted + updated + unchanged + rejected = all rows."""

    upload_id = serializers.UUIDField()
    duplicates = serializers.ChoiceField(list(POLICIES))
    state = serializers.ChoiceField(EffectState.choices)
    rows = serializers.IntegerField()
    rows_done = serializers.IntegerField(help_text="How far it is.")
    outdated = serializers.BooleanField(
        help_text="Somebody has changed what is there since: POST to have it worked out anew."
    )
    inserted = serializers.IntegerField()
    updated = serializers.IntegerField()
    unchanged = serializers.IntegerField()
    duplicate_rows = serializers.IntegerField(help_text="Of the unchanged: another row of the file stands for them.")
    rejected = serializers.IntegerField()
    conflicts = serializers.IntegerField(help_text="Of the rejected: nobody can tell which one is meant.")
    causes = EffectCauseShape(many=True, help_text="Why rows would be rejected; a row can have several causes.")
    percent_changed = serializers.FloatField()
    go_ahead_percent = serializers.IntegerField(help_text="Above this the org asks for a go-ahead.")
    go_ahead_needed = serializers.BooleanField()
    examples = EffectExampleShape(many=True)
    error = serializers.CharField(allow_blank=True)
    asked_at = serializers.DateTimeField()
    done_at = serializers.DateTimeField(allow_null=True)


@extend_schema_serializer(component_name="EffectRequest")
class EffectRequestShape(serializers.Serializer[Any]):
    """Which effect shall be worked out."""

    duplicates = serializers.ChoiceField(
        list(POLICIES), required=False, help_text="What becomes of rows that are there."
    )


@extend_schema_serializer(component_name="ImportRequest")
class ImportRequestShape(EffectRequestShape):
    """How the import shall be done."""

    go_ahead = serializers.BooleanField(
        required=False, default=False, help_text="Import, however much of what is there it changes."
    )


class EffectView(OrgView):
    """What an import would do."""

    @extend_schema(
        operation_id="get_effect",
        tags=["imports"],
        parameters=[DUPLICATES],
        responses={200: EffectShape, **problems(400, 401, 403, 404, 409, 410)},
    )
    def get(self, request: Request, upload_id: str) -> Response:
        """Tell what an import would do, as far as that is known by now. 404 while nobody has asked for it."""
        upload = fetch_upload(self.caller, upload_id)
        need_bulk(upload)
        effect = find_effect(upload, read_policy(request.query_params.get("duplicates") or policy_of(upload)))
        if effect is None:
            raise NotFound("Nobody has asked for this effect yet. POST to have it worked out.")
        return Response(describe_effect(self.caller, upload, effect))

    @extend_schema(
        operation_id="work_out_effect",
        tags=["imports"],
        request=EffectRequestShape,
        responses={
            200: EffectShape,
            202: OpenApiResponse(EffectShape, description="It is being worked out: ask again by GET."),
            **problems(400, 401, 403, 404, 409, 410, 415),
        },
    )
    def post(self, request: Request, upload_id: str) -> Response:
        """Choose what becomes of rows that are there already, and have its effect worked out. Nothing is written."""
        upload = fetch_upload(self.caller, upload_id)
        self.caller.need_write()
        told = _read(EffectRequestShape, request)
        need_bulk(upload)
        need_bytes(upload)
        effect = await_effect(ask_effect(self.caller, upload, told.get("duplicates", "")), PATIENCE_SECONDS)
        return Response(describe_effect(self.caller, upload, effect), status=202 if effect.state in UNDER_WAY else 200)


class WaitingUploadShape(serializers.Serializer[Any]):
    """A sound file that waits for its effect, or for a go-ahead."""

    id = serializers.UUIDField()
    kind = serializers.CharField()
    sheet = serializers.CharField(allow_blank=True, help_text="The sheet that its sender named.")
    waits_for = serializers.ChoiceField(["effect", "go_ahead"])


class WaitingUploadsView(OrgView):
    """The files that wait."""

    @extend_schema(
        operation_id="find_waiting_uploads",
        tags=["imports"],
        parameters=[
            OpenApiParameter("sha256", OpenApiTypes.STR, required=True, description="Of the file's bytes, in hex."),
            OpenApiParameter("kind", OpenApiTypes.STR, required=True, description="What a row means."),
        ],
        responses={(200, "application/json"): WaitingUploadShape(many=True), **problems(400, 401, 403, 404)},
    )
    def get(self, request: Request) -> Response:
        """Find the uploads of these bytes that wait for a go-ahead, newest first: who has the file sends it no second time."""
        sha256 = read_sha256(request.query_params)
        found = own(self.caller, Upload).filter(
            sha256=sha256, kind=request.query_params.get("kind", ""), state=UploadState.READY, session__isnull=False,
            purged_at=None, purge_after=None,
        )  # fmt: skip
        found = found.select_related("org").order_by("-pk") if sha256 else found.none()
        waiting = [(one, awaits(one)) for one in found[:MOST_WAITING] if is_waiting(one)]
        return Response(
            [
                {
                    "id": one.public_id,
                    "kind": one.kind,
                    "sheet": (one.intent or {}).get("sheet") or "",
                    "waits_for": what,
                }
                for one, what in waiting
                if what in ("effect", "go_ahead")
            ]
        )


class ImportView(OrgView):
    """The import itself."""

    @extend_schema(
        operation_id="start_import",
        tags=["imports"],
        request=ImportRequestShape,
        responses={201: JobShape, **problems(400, 401, 403, 404, 409, 410, 415)},
    )
    def post(self, request: Request, upload_id: str) -> Response:
        """Start the import of a file that waits for it. 409 go_ahead_needed where it would change more than the org lets pass."""
        upload = fetch_upload(self.caller, upload_id)
        self.caller.need_write()
        told = _read(ImportRequestShape, request)
        need_bulk(upload)
        job = start_import(self.caller, upload, told.get("duplicates", ""), go_ahead=told["go_ahead"])
        address = reverse("api-job", args=[job.public_id])
        told_job = describe_one(self.fetch_job(job.public_id))
        return Response(told_job, status=status.HTTP_201_CREATED, headers={"Location": address})


def _read(shape: type[serializers.Serializer[Any]], request: Request) -> dict[str, Any]:
    """Read a body. Raises: ValidationError."""
    form = shape(data=request.data or {})
    form.is_valid(raise_exception=True)
    return dict(form.validated_data)


def await_effect(effect: ImportEffect, seconds: float) -> ImportEffect:
    """Wait until an effect is known, at most so long. Cost: a thread of the web server, a query each tenth of a second."""
    until = time.monotonic() + seconds
    while effect.state in UNDER_WAY and time.monotonic() < until:
        time.sleep(LOOK_SECONDS)
        effect.refresh_from_db()
    return effect


def describe_effect(caller: Caller, upload: Upload, effect: ImportEffect) -> dict[str, Any]:
    """Give an effect. Where it has examples, cells are shown, and the trail notes it."""
    done = effect.state == EffectState.DONE
    examples = read_effect_examples(effect) if done else []
    if examples:
        audit.record(upload.org, caller.user, "upload.look", "upload", upload.public_id, part="effect")
    counts = {name: getattr(effect, name) if done else 0 for name in COUNTS}
    return {
        "upload_id": str(upload.public_id),
        "duplicates": effect.policy,
        "state": effect.state,
        "rows": upload.row_count,
        "rows_done": effect.rows_done,
        "outdated": is_outdated(effect),
        **{("duplicate_rows" if name == "duplicates" else name): count for name, count in counts.items()},
        "causes": [{"message": message, "rows": rows} for message, rows in effect.causes] if done else [],
        "percent_changed": round(share_percent(effect), 1) if done else 0.0,
        "go_ahead_percent": upload.org.go_ahead_percent,
        "go_ahead_needed": done and is_above(effect),
        "examples": [
            {
                "id": one.target_id,
                "row": one.row,
                "changes": [{"field": name, "before": old, "after": new} for name, old, new in one.changes],
            }
            for one in examples
        ],
        "error": effect.error,
        "asked_at": effect.asked_at,
        "done_at": effect.done_at,
    }
