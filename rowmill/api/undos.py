"""An import taken back, or what it brought removed, by API: started by POST, done in the background, followed by GET."""

from __future__ import annotations

from typing import Any

from django.urls import reverse
from drf_spectacular.utils import OpenApiResponse, extend_schema, extend_schema_serializer
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from rowmill.api.base import OrgView
from rowmill.api.problems import problems
from rowmill.errors import NotFound
from rowmill.merging.undo import find_undo, is_at_work, pace_of, remove_inserted, undo_job
from rowmill.models import Undo, UndoState, UndoWhat


@extend_schema_serializer(component_name="Undo")
class UndoShape(serializers.Serializer[Any]):
    """How far taking an import back is, and what it came to by now. Units: rows of the table."""

    state = serializers.ChoiceField(
        UndoState.choices, help_text="DONE and FAILED are final; POST starts what failed anew."
    )
    rows = serializers.IntegerField(help_text="About how many there are to look at.")
    rows_done = serializers.IntegerField()
    rows_per_minute = serializers.FloatField(allow_null=True)
    seconds_left = serializers.ListField(
        child=serializers.IntegerField(), allow_null=True, help_text="[at best, at worst]."
    )
    removed = serializers.IntegerField(help_text="Inserted by the import: gone.")
    restored = serializers.IntegerField(help_text="Changed by the import: as they were before.")
    kept = serializers.IntegerField(help_text="Changed since by a person or another import, so left as they are.")
    kept_ids = serializers.ListField(child=serializers.IntegerField(), help_text="The first 1,000 of those.")
    error = serializers.CharField(allow_blank=True)
    asked_at = serializers.DateTimeField()
    undone_at = serializers.DateTimeField(allow_null=True, help_text="When it ended.")
    undone_by = serializers.EmailField(allow_null=True, help_text="Who asked for it.")


ANSWERS: dict[Any, Any] = {
    200: UndoShape,
    202: OpenApiResponse(UndoShape, description="It is being done: follow it by GET at the address in Location."),
    **problems(401, 403, 404, 409, 415),
}


class UndoView(OrgView):
    """An import taken back."""

    @extend_schema(operation_id="get_undo", tags=["imports"], responses={200: UndoShape, **problems(401, 403, 404)})
    def get(self, request: Request, job_id: str) -> Response:
        """Tell how far it is, or what it came to. 404 while nobody has asked for it."""
        return Response(describe_undo(_need(find_undo(self.fetch_job(job_id)))))

    @extend_schema(operation_id="undo_import", tags=["imports"], request=None, responses=ANSWERS)
    def post(self, request: Request, job_id: str) -> Response:
        """Take an import back, within 30 days: what it inserted goes, what it changed is as before; later changes stay.

        202 at once, with the address to follow it at; 200 where it was taken back before.
        """
        return _answer(undo_job(self.caller, self.fetch_job(job_id)), "api-job-undo")


class RemovalView(OrgView):
    """What an import brought, removed."""

    @extend_schema(operation_id="get_removal", tags=["imports"], responses={200: UndoShape, **problems(401, 403, 404)})
    def get(self, request: Request, job_id: str) -> Response:
        """Tell how far it is, or what it came to. 404 while nobody has asked for it."""
        return Response(describe_undo(_need(find_undo(self.fetch_job(job_id), UndoWhat.REMOVAL))))

    @extend_schema(
        operation_id="remove_imported",
        tags=["imports"],
        request=None,
        responses={202: ANSWERS[202], **problems(401, 403, 404, 409, 415)},
    )
    def post(self, request: Request, job_id: str) -> Response:
        """Remove what an import inserted and nobody changed since, at any time; all else stays as it is. 202 at once."""
        return _answer(remove_inserted(self.caller, self.fetch_job(job_id)), "api-job-removal")


def _need(undo: Undo | None) -> Undo:
    """Raises: NotFound."""
    if undo is None:
        raise NotFound("Nobody has asked for this. POST to start it.")
    return undo


def _answer(undo: Undo, name: str) -> Response:
    """Answer a POST: 202 while it is at work."""
    address = reverse(name, args=[undo.job.public_id])
    return Response(describe_undo(undo), status=202 if is_at_work(undo) else 200, headers={"Location": address})


def describe_undo(undo: Undo) -> dict[str, Any]:
    """Give how far an undo is."""
    per_minute, seconds_left = pace_of(undo)
    counts = ("rows", "rows_done", "removed", "restored", "kept", "kept_ids")
    return {
        "state": undo.state,
        **{name: getattr(undo, name) for name in counts},
        "rows_per_minute": per_minute,
        "seconds_left": list(seconds_left) if seconds_left else None,
        "error": undo.error,
        "asked_at": undo.asked_at,
        "undone_at": undo.undone_at,
        "undone_by": undo.undone_by.email if undo.undone_by else None,
    }
