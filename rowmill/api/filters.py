"""Which jobs a list shows, and in which order."""

from __future__ import annotations

from datetime import datetime, time, timedelta
from typing import Any

from django import forms
from django.db.models import QuerySet
from django.forms.utils import from_current_timezone
from django.utils.dateparse import parse_date
from django_filters import rest_framework as filters  # type: ignore[import-untyped]

from rowmill.models import Job, JobState


class DayOrTime(forms.DateTimeField):
    """Takes a time with its zone, or a day such as 2026-11-22: its start or, for `end`, the start of the next."""

    def __init__(self, *, end: bool = False, **options: Any) -> None:
        self.end = end
        super().__init__(**options)

    def to_python(self, value: Any) -> datetime | None:
        """Raises: forms.ValidationError."""
        try:
            day = parse_date(value) if isinstance(value, str) else None
        except ValueError:
            day = None
        if day is None:
            # A plus sign that nobody escaped arrives as a space.
            text = value.strip().replace(" ", "+") if isinstance(value, str) and "T" in value else value
            return super().to_python(text)
        try:
            return from_current_timezone(datetime.combine(day + timedelta(days=int(self.end)), time.min))
        except OverflowError:
            raise forms.ValidationError(self.error_messages["invalid"], code="invalid") from None


class FromFilter(filters.IsoDateTimeFilter):  # type: ignore[misc]
    """From a day or time on."""

    field_class = DayOrTime


class Words(filters.BaseInFilter, filters.ChoiceFilter):  # type: ignore[misc]
    """Several words, separated by commas."""


class JobFilter(filters.FilterSet):  # type: ignore[misc]
    """The filters of the list of jobs."""

    status = Words(field_name="state", choices=JobState.choices, help_text="One or more states, separated by commas.")
    kind = filters.CharFilter(field_name="kind", help_text="A kind's slug, such as claim_status.")
    created_from = FromFilter(field_name="created_at", lookup_expr="gte", help_text="A day or a time: from then on.")
    created_to = FromFilter(
        field_name="created_at", lookup_expr="lt", end=True, help_text="A day (that day included) or a time (excluded)."
    )
    search = filters.CharFilter(
        field_name="upload__name", lookup_expr="icontains", help_text="Part of the file's name."
    )
    ordering = filters.OrderingFilter(
        fields=(
            ("created_at", "created_at"),
            ("upload__name", "file_name"),
            ("state", "status"),
            ("total_rows", "total_rows"),
        ),
        help_text="created_at, file_name, status or total_rows; a minus before it turns the order round.",
    )

    class Meta:
        model = Job
        fields: tuple[str, ...] = ()

    def filter_queryset(self, queryset: QuerySet[Job]) -> QuerySet[Job]:
        """Give the jobs, each order made firm by the newest first."""
        found: QuerySet[Job] = super().filter_queryset(queryset)
        order = [*found.query.order_by, "-id"] if found.query.order_by else ["-id"]
        return found.order_by(*order)
