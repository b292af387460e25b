"""A kind's columns and checks as a Table Schema of Frictionless, in and out; what cannot be kept is refused, never dropped.

Source: https://specs.frictionlessdata.io/table-schema/ (v1). `example` is of v2. Properties that begin with `rowmill:` hold
what the standard has no word for. A cell of white space only counts as missing, and blanks around a cell do not count.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime
from typing import Any, Literal

from rowmill.checks.basic import UNIQUE
from rowmill.checks.made import FORMS, date_form, date_range, length, number_range, one_of, pattern, unique_together
from rowmill.contracts import Check, Column, Rules
from rowmill.errors import InputError, NotFound
from rowmill.registry import CHECKS, get_check
from rowmill.tabular.header import fold

# (type, format) -> the registered check that asks for it; "" where any text will do.
_TYPES: dict[tuple[str, str], str] = {
    ("string", "default"): "",
    ("string", "email"): "email",
    ("string", "uri"): "uri",
    ("string", "uuid"): "uuid",
    ("integer", "default"): "integer",
    ("number", "default"): "number",
    ("boolean", "default"): "boolean",
    ("date", "default"): "date-iso",
    ("date", "any"): "date",
    ("date", "%m/%d/%Y"): "date-us",
    ("datetime", "default"): "date-time-utc",
    ("datetime", "any"): "date-time",
    ("time", "default"): "time",
    ("year", "default"): "year",
    ("yearmonth", "default"): "year-month",
}
_BY_CHECK = {slug: written for written, slug in _TYPES.items() if slug}
_COLUMN_TYPES: dict[str, Literal["text", "date", "amount", "integer"]] = {
    "integer": "integer",
    "number": "amount",
    "date": "date",
}
_FIELD_WORDS = {"name", "title", "description", "type", "format", "constraints", "example"}
_OWN_WORDS = {"rowmill:aliases", "rowmill:optional", "rowmill:type", "rowmill:checks"}
# Which constraints are kept for which types.
_FOR_ALL = {"required", "unique"}
_CONSTRAINTS = {
    "string": {"minLength", "maxLength", "pattern", "enum"},
    "integer": {"minimum", "maximum"},
    "number": {"minimum", "maximum"},
    "year": {"minimum", "maximum"},
    "date": {"minimum", "maximum"},
}


def read_descriptor(descriptor: Mapping[str, Any]) -> Rules:
    """Read a descriptor, as JSON gives it. Raises: InputError that names the field and the word that cannot be kept."""
    if not isinstance(descriptor, Mapping):
        raise InputError("A Table Schema has to be an object.")
    for word in descriptor.keys() - {"fields", "primaryKey", "missingValues", "rowmill:checks"}:
        raise InputError(f"The Table Schema has {_show(word)}, which is not kept here.")
    if descriptor.get("missingValues", [""]) != [""]:
        raise InputError("The Table Schema has missingValues other than the empty text, which is not kept here.")
    fields = descriptor.get("fields")
    if not isinstance(fields, list) or not fields:
        raise InputError("The Table Schema has no list of fields.")
    checks: dict[str, Check] = {}
    columns = [_read_field(field, place, checks) for place, field in enumerate(fields, 1)]
    _need_names(columns)
    row_checks = _read_key(descriptor.get("primaryKey", []), columns, checks)
    if any(column.filled for column in columns):
        checks["required"] = get_check("required")
    row_checks += _registered(descriptor.get("rowmill:checks", []), "The Table Schema", checks, over_row=True)
    return Rules(tuple(columns), checks, tuple(row_checks))


def _show(word: object) -> str:
    """Show a word of a descriptor, cut short."""
    text = str(word)
    return repr(text if len(text) <= 60 else text[:60] + "…")


def _refuse(field: str, what: str) -> InputError:
    """Give the refusal of something that a field says."""
    return InputError(f"The field {_show(field)} of the Table Schema {what}.")


def _text(field: Mapping[str, Any], word: str, name: str, default: str = "") -> str:
    """Give a property that has to be a text. Raises: InputError."""
    value = field.get(word, default)
    if not isinstance(value, str):
        raise _refuse(name, f"has a {word} that is no text")
    return value


def _flag(values: Mapping[str, Any], word: str, name: str) -> bool:
    """Give a property that has to be true or false. Raises: InputError."""
    value = values.get(word, False)
    if not isinstance(value, bool):
        raise _refuse(name, f"has {word}, which has to be true or false")
    return value


def _texts(value: object, what: str) -> list[str]:
    """Give a list of texts. Raises: InputError."""
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        raise InputError(f"{what} is no list of texts.")
    return list(value)


def _read_field(field: object, place: int, checks: dict[str, Check]) -> Column:
    """Read one field; its checks go into `checks`."""
    if not isinstance(field, Mapping):
        raise InputError(f"Field {place} of the Table Schema is no object.")
    name = field.get("name")
    if not isinstance(name, str) or not fold(name) or set("{};\x00") & set(name):
        raise InputError(f"Field {place} of the Table Schema has no name, or one with a brace or a semicolon.")
    for word in field.keys() - _FIELD_WORDS - _OWN_WORDS:
        raise _refuse(name, f"has {_show(word)}, which is not kept here")
    kind = _text(field, "type", name, "string")
    form = _text(field, "format", name, "default")
    constraints = field.get("constraints", {})
    if not isinstance(constraints, Mapping):
        raise _refuse(name, "has constraints that are no object")
    made = _type_checks(name, kind, form) + _constraint_checks(name, kind, form, constraints)
    checks.update({check.slug: check for check in made})
    slugs = [check.slug for check in made]
    slugs += [
        slug
        for slug in _registered(field.get("rowmill:checks", []), f"rowmill:checks of {_show(name)}", checks)
        if slug not in slugs
    ]
    optional = _flag(field, "rowmill:optional", name)
    column_type = field.get("rowmill:type", _COLUMN_TYPES.get(kind, "text"))
    if column_type not in ("text", "date", "amount", "integer"):
        raise _refuse(name, "has a rowmill:type that is none of text, date, amount, integer")
    return Column(
        name,
        _text(field, "title", name),
        column_type,
        required=not optional,
        filled=_flag(constraints, "required", name),
        aliases=tuple(_texts(field.get("rowmill:aliases", []), f"rowmill:aliases of {_show(name)}")),
        checks=tuple(slugs),
        help=_text(field, "description", name),
        example=_text(field, "example", name),
    )


def _type_checks(name: str, kind: str, form: str) -> list[Check]:
    """Give the check that a type and a format ask for. Raises: InputError."""
    if kind == "any" and form == "default":
        kind = "string"
    if (kind, form) in _TYPES:
        slug = _TYPES[kind, form]
        return [get_check(slug)] if slug else []
    if kind == "date" and form in FORMS:
        return [date_form(form)]
    if any(kind == known for known, _ in _TYPES):
        raise _refuse(name, f"has the format {_show(form)} for the type {kind}, which is not kept here")
    raise _refuse(name, f"has the type {_show(kind)}, which is not kept here")


def _constraint_checks(name: str, kind: str, form: str, constraints: Mapping[str, Any]) -> list[Check]:
    """Give the checks that the constraints ask for. Raises: InputError."""
    for word in constraints.keys() - _CONSTRAINTS.get(kind, set()) - _FOR_ALL:
        raise _refuse(name, f"has the constraint {_show(word)} for the type {_show(kind)}, which is not kept here")
    made = [UNIQUE] if _flag(constraints, "unique", name) else []
    words = constraints.keys() - _FOR_ALL
    try:
        if words & {"minLength", "maxLength"}:
            made.append(length(constraints.get("minLength"), constraints.get("maxLength")))
        if words & {"minimum", "maximum"}:
            made.append(_limits(kind, form, constraints.get("minimum"), constraints.get("maximum")))
        if "pattern" in words:
            made.append(pattern(_text(constraints, "pattern", name)))
        if "enum" in words:
            made.append(one_of(_texts(constraints["enum"], "enum")))
    except InputError as error:
        said = ", ".join(sorted(words))
        raise _refuse(name, f"has constraints that cannot be kept ({said}): {str(error).rstrip('.')}") from None
    return made


def _limits(kind: str, form: str, low: Any, high: Any) -> Check:
    """Give the check for minimum and maximum. Raises: InputError."""
    if kind == "date":
        written = form if form in FORMS else "%Y-%m-%d"
        used = "any" if form == "any" else written
        return date_range(_day(low, written), _day(high, written), used)
    return number_range(low, high)


def _day(value: Any, form: str) -> date | None:
    """Read a day that stands in a descriptor in the form of its field. Raises: InputError."""
    if value is None:
        return None
    try:
        return datetime.strptime(value, form).date()
    except (TypeError, ValueError):
        raise InputError(f"A limit is no date written as {form}.") from None


def _registered(value: object, where: str, checks: dict[str, Check], *, over_row: bool = False) -> list[str]:
    """Give slugs of registered checks, and enter the checks. Raises: InputError."""
    slugs = list(dict.fromkeys(_texts(value, where)))
    for slug in slugs:
        try:
            checks[slug] = get_check(slug)
        except NotFound:
            raise InputError(f"{where} names the check {_show(slug)}, which is not known.") from None
        if over_row == ("{column}" in checks[slug].bad_when):
            raise InputError(f"{where} names the check {_show(slug)}, which is not one for this place.")
    return slugs


def _need_names(columns: Sequence[Column]) -> None:
    """Refuse names that a header cannot tell apart. Raises: InputError."""
    seen: dict[str, str] = {}
    for column in columns:
        for name in (column.name, *column.aliases):
            if seen.setdefault(fold(name), column.name) != column.name or (
                name == column.name and sum(c.name == name for c in columns) > 1
            ):
                raise _refuse(name, "has a name that another one has too; case, spaces, dashes and dots do not count")


def _read_key(key: object, columns: list[Column], checks: dict[str, Check]) -> list[str]:
    """Read the primary key: its columns are filled, and unique; gives the slugs of checks over the row."""
    names = [key] if isinstance(key, str) else _texts(key, "primaryKey of the Table Schema")
    places = {column.name: place for place, column in enumerate(columns)}
    for name in names:
        if name not in places:
            raise InputError(f"The primaryKey of the Table Schema names {_show(name)}, which is no field.")
        columns[places[name]] = replace(columns[places[name]], filled=True)
    if len(names) == 1:
        column = columns[places[names[0]]]
        checks["unique"] = UNIQUE
        if "unique" not in column.checks:
            columns[places[names[0]]] = replace(column, checks=(*column.checks, "unique"))
    if len(names) < 2:
        return []
    check = unique_together(*names)
    checks[check.slug] = check
    return [check.slug]


# ------------------------------------------------------------------------------------------------ out


def write_descriptor(rules: Rules) -> dict[str, Any]:
    """Write rules as a descriptor, as JSON takes it; reading it gives the same, but for the order of checks.

    A registered check that the standard has no word for stands under `rowmill:checks`.
    Raises: InputError that names the column and the check that no descriptor can hold.
    """
    descriptor: dict[str, Any] = {"fields": [_write_field(column, rules.checks) for column in rules.columns]}
    own = []
    for slug in rules.row_checks:
        check = _need(rules.checks, slug, "the row")
        if check.keywords and check.keywords[0][0] == "primaryKey" and "primaryKey" not in descriptor:
            descriptor["primaryKey"] = list(check.keywords[0][1])
        else:
            own.append(_need_registered(check, "the row"))
    if own:
        descriptor["rowmill:checks"] = own
    _need_same(read_descriptor(descriptor), rules)
    return descriptor


def _need(checks: Mapping[str, Check], slug: str, where: str) -> Check:
    """Give the check of a slug. Raises: InputError."""
    if slug not in checks:
        raise InputError(f"The check {slug!r} on {where} is not among those that were given.")
    return checks[slug]


def _need_registered(check: Check, where: str) -> str:
    """Give the slug of a registered check. Raises: InputError for another one."""
    if check.slug not in CHECKS or get_check(check.slug) != check:
        raise InputError(f"The check {check.slug!r} on {where} has no words in a Table Schema, and is not registered.")
    return check.slug


def _write_field(column: Column, checks: Mapping[str, Check]) -> dict[str, Any]:
    """Write one column."""
    where = f"the column {column.name!r}"
    found = [_need(checks, slug, where) for slug in column.checks]
    typing, kind, form = _find_type(found)
    constraints: dict[str, Any] = {"required": True} if column.filled else {}
    own = []
    for check in found:
        words = _constraint_words(check)
        if words and not words.keys() & constraints.keys():
            constraints |= words
        elif check is not typing:
            own.append(_need_registered(check, where))
    _write_limits(constraints, kind, form)
    field: dict[str, Any] = {"name": column.name, "type": kind, "format": form}
    field |= {"title": column.label, "description": column.help, "example": column.example}
    field |= {"constraints": constraints, "rowmill:aliases": list(column.aliases), "rowmill:checks": own}
    field["rowmill:optional"] = not column.required
    if column.type != _COLUMN_TYPES.get(kind, "text"):
        field["rowmill:type"] = column.type
    return {word: value for word, value in field.items() if value and (word, value) != ("format", "default")}


def _constraint_words(check: Check) -> dict[str, Any]:
    """Give the constraints that a check stands for, none for one that stands for a type."""
    words = dict(check.keywords)
    return {} if "type" in words else {word: value for word, value in words.items() if word != "format"}


def _find_type(checks: Sequence[Check]) -> tuple[Check | None, str, str]:
    """Give the check that says the type, with type and format: the first one whose type may have the other constraints."""
    asked = {word for check in checks for word in _constraint_words(check)} - _FOR_ALL
    for check in checks:
        words = dict(check.keywords)
        kind, form = (words["type"], words["format"]) if "type" in words else _BY_CHECK.get(check.slug, ("", ""))
        if kind and asked <= _CONSTRAINTS.get(kind, set()):
            return check, kind, form
    return None, "string", "default"


def _write_limits(constraints: dict[str, Any], kind: str, form: str) -> None:
    """Write values as their field writes them: a number as a number where that is exact, a date in its form."""
    if "enum" in constraints:
        constraints["enum"] = list(constraints["enum"])
    for word in {"minimum", "maximum"} & constraints.keys():
        value = constraints[word]
        if kind == "date" and form in FORMS:
            day = date.fromisoformat(value)
            constraints[word] = (
                form.replace("%Y", f"{day.year:04}").replace("%m", f"{day:%m}").replace("%d", f"{day:%d}")
            )
        elif kind != "date" and value.lstrip("-").isdecimal():
            constraints[word] = int(value)


def _need_same(found: Rules, rules: Rules) -> None:
    """Refuse what would not come back as it went out: a check with words or a severity of its own. Raises: InputError."""
    for was, now in zip(rules.columns, found.columns, strict=True):
        if replace(was, checks=()) != replace(now, checks=()) or sorted(was.checks) != sorted(now.checks):
            raise InputError(f"The column {was.name!r} has something that no Table Schema holds.")
    if sorted(rules.row_checks) != sorted(found.row_checks):
        raise InputError("The checks over the row hold something that no Table Schema holds.")
    for slug in {slug for column in rules.columns for slug in column.checks} | set(rules.row_checks):
        if found.checks.get(slug) != rules.checks[slug]:
            raise InputError(f"The check {slug!r} is not the one that this name has in a Table Schema.")
