"""`check` with causes, places and mends, as a person and a script meet it."""

from __future__ import annotations

import csv
import gzip
import json
from pathlib import Path

import pytest

from tests.cli.test_files import run

HEAD = "id,name,visited,amount\n"


def rows(first: int, last: int, tail: str = "") -> str:
    return "".join(f"{n},Ann Oak,2020-01-{n % 28 + 1:02},{n}.50{tail}\n" for n in range(first, last + 1))


@pytest.fixture
def broken(tmp_path: Path) -> Path:
    path = tmp_path / "broken.csv"
    text = HEAD + rows(1, 30) + rows(31, 40, ",") + rows(41, 50).replace("43,Ann", '43,"Ann') + rows(51, 60)
    path.write_text(text, encoding="utf-8")
    return path


def test_causes_come_first_with_their_place(broken: Path) -> None:
    found = run("check", broken)
    assert found.returncode == 1
    lines = found.stdout.splitlines()
    assert "2 causes" in lines
    at = lines.index("  2. An unclosed quote on line 44 breaks its row.")
    assert lines[at + 1] == "     Mend: Close the quote that was left open (close-quote); it clears 1."
    shown = lines[at + 2 : at + 6]
    assert shown[1].endswith('44 | 43,"Ann Oak,2020-01-16,43.50')
    assert shown[2].index("^") == shown[1].index('"')
    assert shown[3].endswith("45 | 44,Ann Oak,2020-01-17,44.50")
    assert found.stdout.index("2 causes") < found.stdout.index("What to do")
    assert "\x1b" not in found.stdout


def test_colour_is_for_terminals_and_may_be_refused(broken: Path) -> None:
    assert "\x1b[" in run("check", broken, FORCE_COLOR="1").stdout
    shown = run("check", broken, FORCE_COLOR="1", NO_COLOR="1").stdout
    assert "\x1b[31m" not in shown
    assert "\x1b[1;31m" not in shown


def test_unseen_signs_are_shown(tmp_path: Path) -> None:
    path = tmp_path / "in.csv"
    path.write_text(HEAD + rows(1, 9) + "10,Ann\u00a0Oak;x\n", encoding="utf-8")
    assert "Ann[NBSP]Oak" in run("check", path).stdout


def test_a_packed_file_shows_no_place(broken: Path, tmp_path: Path) -> None:
    packed = tmp_path / "in.csv.gz"
    packed.write_bytes(gzip.compress(broken.read_bytes()))
    found = run("check", packed)
    assert (found.returncode, found.stderr) == (1, "")
    assert "2 causes" in found.stdout
    assert "^" not in found.stdout


def test_causes_as_json(broken: Path) -> None:
    told = json.loads(run("check", broken, "--json").stdout)
    assert [(c["code"], c["count"], c["mend"], c["clears"], c["first_line"]) for c in told["causes"]] == [
        ("too-many-fields", 10, "trailing-delimiter", 10, 32),
        ("quote-not-closed", 1, "close-quote", 1, 44),
    ]
    assert all(c["message"] and c["advice"] for c in told["causes"])
    assert "Ann" not in json.dumps(told["causes"])


def test_a_mended_copy(broken: Path, tmp_path: Path) -> None:
    out, before = tmp_path / "out.csv", broken.read_bytes()
    found = run("check", broken, "--mend", out)
    assert (found.returncode, found.stderr) == (0, "")
    assert "10  Take off surplus delimiters at the line's end (trailing-delimiter)" in found.stdout
    assert found.stdout.rstrip().endswith("Sound. 60 rows, 4 columns, UTF-8, commas.")
    assert broken.read_bytes() == before
    with out.open(newline="", encoding="utf-8") as file:
        assert list(csv.reader(file)) == [line.split(",") for line in (HEAD + rows(1, 60)).splitlines()]


def test_what_stays_broken_can_be_left_out(broken: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.csv"
    broken.write_text(broken.read_text() + "61,short\n" + rows(62, 70), encoding="utf-8")
    still = run("check", broken, "--mend", out)
    assert still.returncode == 1
    assert "1  rows still broken" in still.stdout
    done = run("check", broken, "--mend", out, "--without-broken-rows", "--json")
    told = json.loads(done.stdout)
    assert (done.returncode, told["verdict"]) == (0, "unsound")
    assert told["mended"] == {
        "out": str(out),
        "verdict": "sound",
        "summary": "Sound. 69 rows, 4 columns, UTF-8, commas.",
        "applied": {"close-quote": 1, "trailing-delimiter": 10},
        "left_out": 1,
        "still_broken": 0,
    }


def test_the_original_is_never_written_over(broken: Path) -> None:
    before = broken.read_bytes()
    found = run("check", broken, "--mend", broken)
    assert (found.returncode, broken.read_bytes()) == (2, before)
    assert run("check", broken, "--without-broken-rows").returncode == 2
    assert run("check", broken, "--mend", broken.parent / "no" / "out.csv").returncode == 2


def test_what_cannot_be_mended_is_not_written(tmp_path: Path) -> None:
    path, out = tmp_path / "in.csv", tmp_path / "out.csv"
    path.write_bytes(b"%PDF-1.7\n1 0 obj")
    found = run("check", path, "--mend", out)
    assert found.returncode == 1
    assert "Nothing is written" in found.stdout
    assert not out.exists()


def test_mending_with_a_kind(tmp_path: Path) -> None:
    path, out = tmp_path / "in.csv", tmp_path / "out.csv"
    path.write_text(
        "claim_number,first_name,last_name,date_of_birth,subscriber_id\n"
        + "".join(f"{n},Ann,Oak,{n % 28 + 1}.01.1980,S{n}\n" for n in range(100, 160)),
        encoding="utf-8",
    )
    found = run("check", path, "--kind", "claim_status", "--mend", out, "--json")
    told = json.loads(found.stdout)
    assert told["mended"]["applied"] == {"date-form:date_of_birth": 60}
    assert told["rejected_rows"] == 60
    assert "rejected" not in told["mended"]["summary"]


def test_a_file_without_the_column_that_tells_rows_is_not_sound(tmp_path: Path) -> None:
    path = tmp_path / "people.csv"
    path.write_text("First Name,Last Name,Mail of them\nAnn,Oak,ann@example.org\n", encoding="utf-8")
    found = run("check", path, "--kind", "contact_import", "--json")
    assert found.returncode == 1
    told = json.loads(found.stdout)
    first = told["findings"][0]
    assert (told["verdict"], first["code"], first["severity"]) == ("unsound", "key-column-missing", "error")
    assert "E-mail or the Contact ID" in first["message"]
    assert "contact_id or email" in first["mend"]
    assert told["causes"][0]["code"] == "key-column-missing"
    path.write_text("First Name,Last Name,E-Mail\nAnn,Oak,ann@example.org\n", encoding="utf-8")
    assert run("check", path, "--kind", "contact_import").returncode == 0
    path.write_text("First Name,Last Name,Mail of them\nAnn,Oak,ann@example.org\n", encoding="utf-8")
    assert run("check", path).returncode == 0
