"""Table Schemas in and out: what is kept comes back the same, what cannot be is refused by its field and word."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rowmill import registry
from rowmill.checks.made import (
    BLANKS,
    FORMS,
    any_of,
    compare,
    date_form,
    date_range,
    length,
    number_range,
    one_of,
    pattern,
    unique_together,
)
from rowmill.checks.table_schema import read_descriptor, write_descriptor
from rowmill.contracts import Check, Column, Rules
from rowmill.errors import InputError
from rowmill.registry import KINDS, get_kind, rules_of
from rowmill.tabular.inspect import inspect_table

DESCRIPTOR: dict[str, Any] = {
    "fields": [
        {
            "name": "visit",
            "title": "Visit",
            "description": "The number of the visit.",
            "type": "integer",
            "constraints": {"required": True, "unique": True, "minimum": 1, "maximum": 1000},
        },
        {"name": "born", "type": "date", "format": "%d.%m.%Y", "constraints": {"minimum": "01.01.1900"}},
        {"name": "seen", "type": "date", "constraints": {"required": True, "maximum": "2030-12-31"}},
        {"name": "paid", "type": "number", "constraints": {"minimum": "0.5"}},
        {"name": "mail", "type": "string", "format": "email", "example": "ann@example.org"},
        {"name": "sex", "type": "string", "constraints": {"enum": ["F", "M"], "required": True}},
        {"name": "code", "type": "string", "constraints": {"pattern": "[A-Z]{2}\\d+", "minLength": 3, "maxLength": 9}},
        {"name": "npi", "type": "string", "rowmill:checks": ["npi"], "rowmill:aliases": ["provider npi"]},
        {"name": "note", "type": "string", "rowmill:optional": True},
        {"name": "shown", "type": "boolean"},
        {"name": "at", "type": "datetime"},
    ],
    "primaryKey": ["seen", "sex"],
}


def same(found: Rules) -> dict[str, Any]:
    return write_descriptor(found)


def test_a_descriptor_comes_back_as_it_was() -> None:
    found = read_descriptor(DESCRIPTOR)
    assert same(found) == DESCRIPTOR
    assert json.loads(json.dumps(same(found))) == DESCRIPTOR
    visit = found.columns[0]
    assert visit == Column(
        "visit",
        "Visit",
        "integer",
        True,
        True,
        (),
        ("integer", "unique", "number-from-1-to-1000"),
        "The number of the visit.",
    )
    assert [column.type for column in found.columns[1:5]] == ["date", "date", "amount", "text"]
    assert found.row_checks == (unique_together("seen", "sex").slug,)
    assert {slug for c in found.columns for slug in c.checks} | set(found.row_checks) | {
        "required"
    } == found.checks.keys()


def test_a_file_is_judged_by_a_descriptor(tmp_path: Path) -> None:
    rules = read_descriptor(DESCRIPTOR)
    header = ",".join(column.name for column in rules.columns)
    file = tmp_path / "visits.csv"
    rows = [
        "1,15.01.1980,2020-01-01,1.50,a@b.org,F,AB12,1234567893,,true,2020-01-01T10:00:00Z",
        "2,15.01.1880,2020-01-02,0.25,a@b,X,AB,1234567890,x,yes,2020-01-01",
        "2,,2020-01-01,,,F,,,,,",
        "0,1980-01-15,2031-01-01,x,,M,ABC,,,,",
    ]
    file.write_text("\n".join((header, *rows)) + "\n")
    found = inspect_table(file, rules)
    assert found.verdict == "sound"
    by_line = {line: sorted({f.column_name or "" for f in found.findings if f.line == line}) for line in (2, 3, 4, 5)}
    assert by_line == {
        2: [""],
        3: ["at", "born", "code", "mail", "npi", "paid", "sex", "shown", "visit"],
        4: ["", "visit"],
        5: ["born", "code", "paid", "seen", "visit"],
    }


def test_a_key_of_one_field_is_a_field_that_is_required_and_unique() -> None:
    for key in ("a", ["a"]):
        found = read_descriptor({"fields": [{"name": "a", "type": "any"}], "primaryKey": key})
        assert same(found) == {
            "fields": [{"name": "a", "type": "string", "constraints": {"required": True, "unique": True}}]
        }
        assert read_descriptor(same(found)) == found


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"foreignKeys": []}, "'foreignKeys'"),
        ({"missingValues": ["", "NA"]}, "missingValues"),
        ({"$schema": "x"}, "'$schema'"),
        ({"fields": []}, "no list of fields"),
        ({"fields": ["a"]}, "Field 1"),
        ({"fields": [{"type": "string"}]}, "Field 1"),
        ({"fields": [{"name": "a;b"}]}, "semicolon"),
        ({"fields": [{"name": "{a}"}]}, "brace"),
        ({"fields": [{"name": " _ "}]}, "no name"),
        ({"fields": [{"name": "a b"}, {"name": "A_B"}]}, "'A_B'"),
        ({"fields": [{"name": "a"}, {"name": "a"}]}, "'a'"),
        ({"fields": [{"name": "a", "rowmill:aliases": ["b"]}, {"name": "b"}]}, "'b'"),
        ({"primaryKey": "x"}, "'x', which is no field"),
        ({"primaryKey": 7}, "primaryKey"),
        ({"rowmill:checks": ["npi"]}, "'npi', which is not one for this place"),
        ({"rowmill:checks": ["none"]}, "'none', which is not known"),
    ],
)
def test_what_a_descriptor_says_that_is_not_kept_is_refused(change: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError) as refused:
        read_descriptor({"fields": [{"name": "a"}]} | change)
    assert said in str(refused.value)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"rdfType": "x"}, "'rdfType'"),
        ({"trueValues": ["y"]}, "'trueValues'"),
        ({"decimalChar": ","}, "'decimalChar'"),
        ({"type": "geopoint"}, "'geopoint'"),
        ({"type": "duration"}, "'duration'"),
        ({"type": ["string"]}, "type"),
        ({"format": "binary"}, "'binary'"),
        ({"type": "date", "format": "%d %b %Y"}, "'%d %b %Y'"),
        ({"type": "integer", "format": "any"}, "'any'"),
        ({"title": 5}, "title"),
        ({"constraints": []}, "constraints"),
        ({"constraints": {"required": "yes"}}, "required"),
        ({"constraints": {"unique": 1}}, "unique"),
        ({"constraints": {"minimum": 1}}, "'minimum'"),
        ({"constraints": {"jsonSchema": {}}}, "'jsonSchema'"),
        ({"type": "integer", "constraints": {"enum": [1]}}, "'enum'"),
        ({"type": "integer", "constraints": {"minimum": "x"}}, "minimum"),
        ({"type": "integer", "constraints": {"minimum": None}}, "minimum"),
        ({"type": "number", "constraints": {"maximum": True}}, "maximum"),
        ({"type": "date", "constraints": {"minimum": "01.01.2020"}}, "minimum"),
        ({"type": "datetime", "constraints": {"minimum": "2020-01-01T00:00:00Z"}}, "'minimum'"),
        ({"constraints": {"minLength": 5, "maxLength": 1}}, "maxLength, minLength"),
        ({"constraints": {"minLength": "5"}}, "minLength"),
        ({"constraints": {"pattern": "a(?!b)"}}, "pattern"),
        ({"constraints": {"pattern": 5}}, "pattern"),
        ({"constraints": {"enum": "FM"}}, "enum"),
        ({"constraints": {"enum": [1, 2]}}, "enum"),
        ({"constraints": {"enum": [" F"]}}, "enum"),
        ({"rowmill:checks": ["none"]}, "'none'"),
        ({"rowmill:type": "blob"}, "rowmill:type"),
        ({"rowmill:optional": "x"}, "rowmill:optional"),
        ({"rowmill:aliases": "x"}, "rowmill:aliases"),
    ],
)
def test_what_a_field_says_that_is_not_kept_is_refused_by_name(change: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError) as refused:
        read_descriptor({"fields": [{"name": "the field"} | change]})
    assert said in str(refused.value)
    assert "'the field'" in str(refused.value)


ROW = Check("odd-row", "the row is odd", "Mend it.", "{a} = '1' AND {b} = '2'")


@pytest.mark.parametrize(
    ("column", "check"),
    [
        (Column("a", required=True, checks=("length-to-3",)), replace(length(most=3), severity="warning")),
        (Column("a", required=True, checks=("age",)), replace(number_range(0, 130), slug="age")),
        (Column("a", required=True, checks=("number-from-0",)), number_range(0)),
        (Column("a", required=True, checks=("odd",)), Check("odd", "it is odd", "Mend it.", "{column} = '1'")),
        (Column("a", required=True, checks=(one_of(["x"], any_case=True).slug,)), one_of(["x"], any_case=True)),
        (Column("a", required=True, checks=("gone",)), ROW),
        (Column("a;b", required=True), ROW),
    ],
)
def test_what_no_descriptor_holds_is_not_written(column: Column, check: Check) -> None:
    with pytest.raises(InputError):
        write_descriptor(Rules([column], {check.slug: check}))


def test_checks_over_the_row_are_written_by_their_name_where_they_are_registered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    columns = (Column("a", required=True, filled=True), Column("b", required=True, filled=True))
    for check in (any_of("a", "b"), compare("a", "<", "b")):
        with pytest.raises(InputError, match=check.slug):
            write_descriptor(Rules(columns, {check.slug: check}, (check.slug,)))
    with pytest.raises(InputError, match="'a'"):  # a key asks for filled columns
        write_descriptor(Rules([replace(columns[0], filled=False), columns[1]], *together()))
    monkeypatch.setattr(registry, "CHECKS", registry.CHECKS)
    monkeypatch.setitem(registry.CHECKS, "odd-row", ROW)
    written = write_descriptor(Rules(columns, {"odd-row": ROW} | together()[0], ("odd-row", *together()[1])))
    assert written["rowmill:checks"] == ["odd-row"]
    assert written["primaryKey"] == ["a", "b"]
    registry.get_check.cache_clear()


def together() -> tuple[dict[str, Check], tuple[str, ...]]:
    check = unique_together("a", "b")
    return {check.slug: check}, (check.slug,)


@pytest.mark.parametrize("slug", [s for s, path in KINDS.items() if path.startswith("rowmill.")])
def test_every_kind_that_ships_can_be_written_and_read(slug: str) -> None:
    kind = get_kind(slug)
    rules = rules_of(kind)
    found = read_descriptor(json.loads(json.dumps(write_descriptor(rules))))
    assert [replace(c, checks=()) for c in found.columns] == [replace(c, checks=()) for c in kind.columns]
    assert [set(c.checks) for c in found.columns] == [set(c.checks) for c in kind.columns]
    assert (found.checks, found.row_checks) == (rules.checks, rules.row_checks)


def there_and_back(*checks: Check) -> None:
    """Hold that these checks on one column come back as they went out."""
    slugs = tuple(check.slug for check in checks if "{column}" in check.bad_when)
    over_row = tuple(check.slug for check in checks if check.slug not in slugs)
    rules = Rules((Column("a", required=True, checks=slugs),), {check.slug: check for check in checks}, over_row)
    found = read_descriptor(json.loads(json.dumps(write_descriptor(rules))))
    assert set(found.columns[0].checks) == set(slugs)
    assert (found.checks, found.row_checks) == (rules.checks, over_row)


@pytest.mark.parametrize("slug", [slug for slug in registry.CHECKS if slug != "required"])
def test_every_check_can_be_written_and_read(slug: str) -> None:
    there_and_back(registry.get_check(slug))


@pytest.mark.parametrize(
    "checks",
    [
        (length(2),),
        (length(most=5),),
        (length(2, 5),),
        (pattern("[A-Z]{2}"),),
        (one_of(["a", "b"]),),
        (registry.get_check("number"), number_range(0, "7.5")),
        (registry.get_check("integer"), number_range(most=130)),
        (registry.get_check("year"), number_range(1900, 2100)),
        (registry.get_check("date"), date_range(date(1900, 1, 1), date(2030, 12, 31))),
        (registry.get_check("date-iso"), date_range(last=date(2030, 12, 31), form="%Y-%m-%d")),
        (date_form("%d.%m.%Y"), date_range(date(1900, 1, 1), form="%d.%m.%Y")),
    ],
    ids=lambda checks: " and ".join(check.slug for check in checks),
)
def test_every_made_check_can_be_written_and_read_beside_the_type_that_it_needs(checks: tuple[Check, ...]) -> None:
    there_and_back(*checks)


# ------------------------------------------------------------------------------------------------ any descriptor

words = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=15)
values = words.filter(lambda t: bool(t.strip()) and t == t.strip(BLANKS))
flags = st.fixed_dictionaries({}, optional={"required": st.just(True), "unique": st.just(True)})


def pair(
    low: str, high: str, limit: st.SearchStrategy[Any], write: Any = lambda x: x
) -> st.SearchStrategy[dict[str, Any]]:
    """Give one limit or both, in order."""
    both = st.lists(limit, min_size=2, max_size=2).map(sorted).map(lambda p: {low: write(p[0]), high: write(p[1])})
    return st.one_of(st.just({}), both, limit.map(lambda v: {low: write(v)}), limit.map(lambda v: {high: write(v)}))


def typed(kind: str, form: str, *constraints: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
    def join(parts: tuple[dict[str, Any], ...]) -> dict[str, Any]:
        return {"type": kind, "format": form, "constraints": {k: v for part in parts for k, v in part.items()}}

    return st.tuples(flags, *constraints).map(join)


strings = (
    pair("minLength", "maxLength", st.integers(0, 1000)),
    st.fixed_dictionaries(
        {},
        optional={
            "enum": st.lists(values, min_size=1, max_size=4, unique=True),
            "pattern": st.sampled_from(["[A-Z]{2}", "a|b", "it's {column} \\d", "\\{x\\}", "(?i)x+"]),
        },
    ),
)
days = st.dates(date(1000, 1, 1))
kinds = st.one_of(
    *(typed("string", form, *strings) for form in ("default", "email", "uri", "uuid")),
    typed("integer", "default", pair("minimum", "maximum", st.integers(-(10**17), 10**17))),
    typed("number", "default", pair("minimum", "maximum", st.decimals("-9999", "9999", places=3), write=str)),
    typed("year", "default", pair("minimum", "maximum", st.integers(1, 9999))),
    *(typed("date", form, pair("minimum", "maximum", days, write=date.isoformat)) for form in ("default", "any")),
    st.sampled_from(sorted(FORMS)).flatmap(
        lambda form: typed("date", form, pair("minimum", "maximum", days, write=lambda day: day.strftime(form)))
    ),
    *(typed(kind, "default") for kind in ("boolean", "datetime", "time", "yearmonth", "any")),
    typed("datetime", "any"),
)
extras = st.fixed_dictionaries(
    {},
    optional={
        "title": words,
        "description": words,
        "example": words,
        "rowmill:optional": st.booleans(),
        "rowmill:type": st.sampled_from(["text", "date", "amount", "integer"]),
        "rowmill:checks": st.lists(
            st.sampled_from(["npi", "tin", "date", "date-iso", "integer", "zip"]), max_size=3, unique=True
        ),
    },
)


@st.composite
def descriptors(draw: st.DrawFn) -> dict[str, Any]:
    fields = [
        {"name": f"column {n}", **field, **extra}
        for n, (field, extra) in enumerate(draw(st.lists(st.tuples(kinds, extras), min_size=1, max_size=4)))
    ]
    key = draw(st.lists(st.sampled_from([field["name"] for field in fields]), unique=True))
    return {"fields": fields} | ({"primaryKey": key} if key else {})


@given(descriptors())
def test_in_out_in_is_the_same(descriptor: dict[str, Any]) -> None:
    found = read_descriptor(descriptor)
    written = same(found)
    again = read_descriptor(json.loads(json.dumps(written)))
    assert [replace(c, checks=()) for c in again.columns] == [replace(c, checks=()) for c in found.columns]
    assert [set(c.checks) for c in again.columns] == [set(c.checks) for c in found.columns]
    assert (again.checks, again.row_checks) == (found.checks, found.row_checks)
    assert same(again) == written


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3),
    max_leaves=5,
)


@given(st.sampled_from(["integer", "number", "string", "date", "year"]), st.sampled_from(sorted({
    "required", "unique", "minimum", "maximum", "minLength", "maxLength", "pattern", "enum",
})), json_values)  # fmt: skip
def test_whatever_stands_in_a_constraint_it_is_kept_or_refused(kind: str, word: str, value: Any) -> None:
    field = {"name": "a", "type": kind, "constraints": {word: value}}
    try:
        found = read_descriptor({"fields": [field]})
    except InputError as error:
        said = str(error)
    else:
        said = "'a'"
        assert read_descriptor(same(found)) == found
    assert "'a'" in said


def test_a_pattern_keeps_its_braces() -> None:
    check = pattern("[A-Z]{2}")
    assert "{" not in check.bad_when.replace("{column}", "")


def test_the_example_of_the_page_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "CHECKS", dict(registry.CHECKS))
    text = (Path(__file__).parents[2] / "docs" / "checks.md").read_text(encoding="utf-8")
    (code,) = (
        block for block in re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL) if "RULES" in block
    )
    exec(compile(code, "checks.md", "exec"), {"__name__": "docs.checks"})
    assert "date-dmy-dots-to-2030-12-31" in registry.CHECKS
    registry.get_check.cache_clear()
