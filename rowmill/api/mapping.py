"""The columns of an upload by API: what each is taken for, and how the first rows would be stored; change it before the import."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema, extend_schema_serializer
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from rowmill import audit
from rowmill.api.base import OrgView
from rowmill.api.problems import problems
from rowmill.api.uploads import fetch_upload
from rowmill.contacts.first_rows import FirstRow, read_first_rows
from rowmill.contacts.mapping import Match, propose_mapping, save_mapping, with_samples
from rowmill.jobs.imports import find_standing, missing_keys, need_bulk
from rowmill.models import Upload
from rowmill.orgs import Caller
from rowmill.uploads.handouts import need_bytes


class MappedColumnShape(serializers.Serializer[Any]):
    """One column of the file. A column that is no field is kept as extra, unless `ignored`."""

    position = serializers.IntegerField(help_text="From 1.")
    header = serializers.CharField(allow_blank=True)
    field = serializers.CharField(allow_null=True, help_text="The field that an import takes it for now.")
    how = serializers.ChoiceField(["name", "alias", "likeness", "remembered", "hand", ""])
    confidence = serializers.FloatField(help_text="How sure that is, 0 to 1.")
    suggested_field = serializers.CharField(
        allow_null=True, help_text="A field that it is alike, which an import takes it for only once it is set."
    )
    ignored = serializers.BooleanField()
    filled = serializers.FloatField(
        allow_null=True,
        help_text="The share of the rows that have something there, 0 to 1; null for cells too large to count.",
    )
    samples = serializers.ListField(child=serializers.CharField(), help_text="A few different cells, read live.")


class FieldShape(serializers.Serializer[Any]):
    """One field that a column can be."""

    name = serializers.CharField()
    label = serializers.CharField()  # type: ignore[assignment]
    help = serializers.CharField(allow_blank=True)
    key = serializers.BooleanField(help_text="Rows are told by it: one of the keys has to be a column of the file.")


class FirstRowShape(serializers.Serializer[Any]):
    """One row as it would be stored."""

    row = serializers.IntegerField()
    line = serializers.IntegerField()
    values = serializers.DictField()
    problem = serializers.CharField(allow_blank=True, help_text="Why it would be rejected.")


@extend_schema_serializer(component_name="Mapping")
class MappingShape(serializers.Serializer[Any]):
    """Which column of a file is which field. Cells of the file stand in it: the trail notes who looked."""

    columns = MappedColumnShape(many=True)
    available = FieldShape(many=True, help_text="Every field that a column can be.")
    missing_keys = serializers.ListField(
        child=serializers.CharField(), help_text="Where none of these fields is a column, nothing can be imported."
    )
    changeable = serializers.BooleanField(help_text="False once a job uses the upload.")
    first_rows = FirstRowShape(
        many=True,
        allow_null=True,
        help_text="The first rows as an import would store them now; null where they take too much memory to show.",
    )


@extend_schema_serializer(component_name="MappingChange")
class MappingChangeShape(serializers.Serializer[Any]):
    """The whole mapping anew. A column that is not named is kept as extra."""

    mapping = serializers.DictField(
        child=serializers.IntegerField(min_value=1), help_text='Field to position, such as {"email": 3}.'
    )
    ignored = serializers.ListField(
        child=serializers.IntegerField(min_value=1), required=False, help_text="Positions that are not imported at all."
    )
    remember = serializers.BooleanField(
        required=False, default=True, help_text="Map the org's next files with these headers in the same way."
    )


class MappingView(OrgView):
    """Which column is which field."""

    @extend_schema(
        operation_id="get_mapping",
        tags=["imports"],
        responses={200: MappingShape, **problems(401, 403, 404, 409, 410, 503)},
    )
    def get(self, request: Request, upload_id: str) -> Response:
        """Show what each column of a file is taken for, with a few of its cells."""
        return Response(describe_mapping(self.caller, fetch_upload(self.caller, upload_id)))

    @extend_schema(
        operation_id="set_mapping",
        tags=["imports"],
        request=MappingChangeShape,
        responses={200: MappingShape, **problems(400, 401, 403, 404, 409, 410, 415, 503)},
    )
    def put(self, request: Request, upload_id: str) -> Response:
        """Say which column is which field. What was worked out of the effect before is dropped."""
        upload = fetch_upload(self.caller, upload_id)
        self.caller.need_write()
        shape = MappingChangeShape(data=request.data)
        shape.is_valid(raise_exception=True)
        told = shape.validated_data
        need_bulk(upload)
        save_mapping(self.caller, upload, told["mapping"], told.get("ignored", ()), remember=told["remember"])
        return Response(describe_mapping(self.caller, upload))


def describe_mapping(caller: Caller, upload: Upload) -> dict[str, Any]:
    """Give the mapping of an upload. The trail notes it: cells are shown. Raises: StateError, Expired, StorageFault."""
    kind: Any = need_bulk(upload)
    need_bytes(upload)
    matches = with_samples(upload, propose_mapping(upload))
    rows = read_first_rows(upload, upload.mapping, [match.place for match in matches if match.ignored])
    audit.record(upload.org, caller.user, "upload.look", "upload", upload.public_id, part="columns")
    keys = {name for _, name in kind.target.keys}
    return {
        "columns": [_describe_column(upload, match) for match in matches],
        "available": [
            {"name": column.name, "label": column.label, "help": column.help, "key": column.name in keys}
            for column in kind.columns
        ],
        "missing_keys": [column.name for column in missing_keys(kind, upload.mapping)],
        "changeable": find_standing(upload).changeable,
        "first_rows": None if rows is None else [_describe_row(row) for row in rows],
    }


def _describe_column(upload: Upload, match: Match) -> dict[str, Any]:
    """Give one column."""
    in_force = upload.mapping.get(match.field) == match.place
    return {
        "position": match.place,
        "header": match.header,
        "field": match.field if in_force else None,
        "how": match.how if in_force else "",
        "confidence": match.confidence if match.field else 0.0,
        "suggested_field": match.field or None if not in_force else None,
        "ignored": match.ignored,
        "filled": match.filled,
        "samples": list(match.samples),
    }


def _describe_row(row: FirstRow) -> dict[str, Any]:
    """Give one row."""
    return {"row": row.row, "line": row.line, "values": dict(row.values), "problem": row.problem}
