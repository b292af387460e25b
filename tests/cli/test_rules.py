"""`check --schema` and `kinds`: rules as a Table Schema, in and out."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from rowmill.registry import KINDS, get_kind

LISTED = [slug for slug, path in KINDS.items() if path.startswith("rowmill.")]  # other tests list kinds of their own
ROOT = Path(__file__).parent.parent.parent
SCHEMA = {
    "fields": [
        {"name": "visit", "type": "integer", "constraints": {"required": True, "unique": True, "minimum": 1}},
        {"name": "seen", "type": "date", "constraints": {"maximum": "2030-12-31"}},
        {"name": "sex", "type": "string", "constraints": {"enum": ["F", "M"]}, "rowmill:optional": True},
    ],
    "primaryKey": ["visit", "seen"],
}


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "rowmill", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.fixture
def schema(tmp_path: Path) -> Path:
    file = tmp_path / "schema.json"
    file.write_text(json.dumps(SCHEMA), encoding="utf-8")
    return file


def test_a_file_is_held_against_a_table_schema(schema: Path, tmp_path: Path):
    file = tmp_path / "visits.csv"
    file.write_text("seen,visit,sex\n2026-01-15,1,F\n2026-02-30,2,M\n2031-01-01,,X\n2026-01-15,1,F\n")
    found = run("check", file, "--schema", schema, "--json")
    told = json.loads(found.stdout)
    assert (found.returncode, told["verdict"], told["rejected_rows"]) == (0, "sound", 4)
    places = {(f["code"].split("-")[0], f["line"], f["column_name"]) for f in told["findings"]}
    assert {("date", 3, "seen"), ("required", 4, "visit"), ("one", 4, "sex"), ("unique", 2, "visit")} <= places
    assert ("unique", 5, "visit") in places


def test_a_column_that_the_schema_needs_is_missing(schema: Path, tmp_path: Path):
    file = tmp_path / "visits.csv"
    file.write_text("visit\n1\n")
    found = run("check", file, "--schema", schema)
    assert found.returncode == 1
    assert "the column seen is missing" in found.stdout


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("not JSON", "is not JSON in UTF-8"),
        ("[1]", "has to be an object"),
        ('{"fields": [{"name": "a", "type": "geojson"}]}', "geojson"),
    ],
)
def test_what_is_no_descriptor_is_said_in_a_sentence(tmp_path: Path, text: str, words: str):
    file, schema = tmp_path / "a.csv", tmp_path / "schema.json"
    file.write_text("a\n1\n")
    schema.write_text(text)
    found = run("check", file, "--schema", schema)
    assert found.returncode == 2
    assert words in " ".join(found.stderr.replace("│", " ").split())
    assert "Traceback" not in found.stderr


def test_kind_and_schema_are_not_given_together(schema: Path, tmp_path: Path):
    file = tmp_path / "a.csv"
    file.write_text("a\n1\n")
    found = run("check", file, "--schema", schema, "--kind", "claim_status")
    assert found.returncode == 2
    assert "not both" in found.stderr
    assert run("check", file, "--schema", tmp_path / "none.json").returncode == 2


def test_the_kinds_are_listed():
    found = run("kinds")
    assert found.returncode == 0
    assert [line.split()[0] for line in found.stdout.splitlines()] == LISTED


@pytest.mark.parametrize("kind", LISTED)
def test_every_kind_can_be_checked_against_without_a_database(tmp_path: Path, kind: str):
    file = tmp_path / "a.csv"
    file.write_text("nothing_of_it\n1\n")
    found = run("check", file, "--kind", kind)
    assert (found.returncode, found.stderr) == (1, "")
    # Where no single column is needed, one of several keys is.
    needed = any(column.required for column in get_kind(kind).columns)
    assert ("is missing" if needed else "Rows are told by one of them") in found.stdout


def test_a_kind_as_a_table_schema_says_the_same_as_the_kind(tmp_path: Path):
    schema, file = tmp_path / "claims.json", tmp_path / "claims.csv"
    written = run("kinds", "--schema", "claim_status")
    assert written.returncode == 0
    schema.write_text(written.stdout, encoding="utf-8")
    file.write_text(
        "claim_number,first_name,last_name,date_of_birth,subscriber_id,tin\n"
        "C1,Ann,Poe,1980-01-15,S123,\nC2,,Poe,1980-13-15,S123,12\n1.23E+15,Bob,Poe,1980-01-15,S,\n"
    )
    of_kind = json.loads(run("check", file, "--kind", "claim_status", "--json").stdout)
    of_schema = json.loads(run("check", file, "--schema", schema, "--json").stdout)
    assert of_kind["findings"]

    def places(told: dict[str, list[dict[str, object]]]) -> list[tuple[str, ...]]:
        return sorted((str(f["code"]), str(f["line"]), str(f["column"])) for f in told["findings"])

    assert places(of_schema) == places(of_kind)
    assert run("kinds", "--schema", "cats").returncode == 2
