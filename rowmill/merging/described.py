"""Beside the flow: makes the declaration of a bulk kind of a Table Schema: how its cells are checked and cleaned, and its key."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from rowmill.contracts import Column
from rowmill.errors import InputError
from rowmill.merging.target import Target, TargetField
from rowmill.registry import add_checks, get_check, read_schema

# Type of a Table Schema -> cleaner, and the check that its every value fits into the table. Others are kept as text.
_CLEANED = {
    "integer": ("integer", "fits-integer"),
    "number": ("number", "fits-number"),
    "boolean": ("flag", "flag-written"),
    "date": ("day", "day-written"),
    "datetime": ("moment", "moment-written"),
}
_DATE_FORMS = ("default", "any", "%m/%d/%Y")  # by any other form a day could be taken for another one


@dataclass(frozen=True, slots=True)
class Described:
    """What a bulk kind declares, as a descriptor says it. Its checks are known to the registry."""

    columns: tuple[Column, ...]
    checks: tuple[str, ...]
    target: Target


def describe_target(descriptor: Mapping[str, Any], model_name: str, *, extra: str, newest_by: str) -> Described:
    """Read a Table Schema whose fields are called as the columns of the model's table; its primaryKey names a row.

    Several rows with one key are joined or skipped as the job says, so they break no check. A file may lack the column of
    any field but those that have to be filled.
    Raises: InputError for what cannot be kept, and for a key that is not one field of text, whole numbers or a UUID.
    """
    key = _find_key(descriptor)
    rules = read_schema({word: value for word, value in descriptor.items() if word != "primaryKey"})
    add_checks(rules.checks.values())
    columns, fields = [], []
    for column, told in zip(rules.columns, descriptor["fields"], strict=True):
        kind = str(told.get("type", "string"))
        if kind == "date" and told.get("format", "default") not in _DATE_FORMS:
            raise InputError(f"The field {column.name!r} has a form of dates that is not kept in a table.")
        cleaner, fits = _CLEANED.get(kind, ("text", ""))
        if column.name == key:
            cleaner, fits = "text", "key-length"
        # Which column is the key can be said once the file is there, and who sends few columns changes only those.
        column = replace(column, required=column.required and column.filled and column.name != key)
        columns.append(_checked(column, fits, filled=column.filled or column.name == key))
        fields.append(TargetField(column.name, cleaner))
    if newest_by and newest_by not in {one.name for one in fields}:
        raise InputError(f"There is no field {newest_by!r} by which the newer row could be told.")
    target = Target(model_name, tuple(fields), (("k", key),), extra=extra, newest_by=newest_by)
    return Described(tuple(columns), tuple(rules.row_checks), target)


def _find_key(descriptor: Mapping[str, Any]) -> str:
    """Give the field that names a row. Raises: InputError."""
    told = descriptor.get("primaryKey")
    names: Sequence[Any] = told if isinstance(told, list) else [told]
    if len(names) != 1 or not isinstance(names[0], str):
        raise InputError("A table that is merged into needs a primaryKey of one field.")
    for field in descriptor.get("fields") or ():
        if isinstance(field, Mapping) and field.get("name") == names[0]:
            if field.get("type", "string") not in ("string", "integer"):
                raise InputError("The primaryKey has to be a field of text or of whole numbers.")
            return names[0]
    raise InputError("The primaryKey of the Table Schema names no field.")


def _checked(column: Column, fits: str, *, filled: bool) -> Column:
    """Give a column with the check that its values fit, and with words that people can read."""
    checks = column.checks if not fits or fits in column.checks else (*column.checks, fits)
    label = column.label or column.name.replace("_", " ").capitalize()
    help = column.help or (get_check(fits).help if fits else "Kept as it is written.")
    return replace(column, checks=checks, filled=filled, label=label, help=help)
