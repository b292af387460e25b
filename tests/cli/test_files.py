"""`check`, `convert`, `sample`, `version` as a person and a script meet them: exit codes, output, JSON."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest

from rowmill import __version__

SOUND = "claim_number,first_name,last_name,date_of_birth,subscriber_id,note\n" + "".join(
    f'0000{n},Ann,Oak,1980-01-15,S{n},"a, b"\n' for n in range(1, 6)
)
BROKEN = 'a,b\n1,"x\n2,y\n'


def run(*arguments: object, cwd: Path | None = None, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "rowmill", *map(str, arguments)],
        capture_output=True,
        text=True,
        encoding="utf-8",
        cwd=cwd,
        env={**os.environ, **environment},
        check=False,
    )


@pytest.fixture
def sound(tmp_path: Path) -> Path:
    path = tmp_path / "sound.csv"
    path.write_text(SOUND, encoding="utf-8")
    return path


@pytest.fixture
def broken(tmp_path: Path) -> Path:
    path = tmp_path / "broken.csv"
    path.write_text(BROKEN, encoding="utf-8")
    return path


# ------------------------------------------------------------------------------------------------ check


def test_a_sound_file(sound: Path):
    found = run("check", sound, "--kind", "claim_status")
    assert (found.returncode, found.stderr) == (0, "")
    assert found.stdout.startswith("Sound. 5 rows, 6 columns, UTF-8, commas.")
    assert "6 lines = 1 header + 5 rows + 0 blank" in found.stdout


def test_an_unsound_file_says_where_and_what_to_do(broken: Path):
    found = run("check", broken)
    assert found.returncode == 1
    assert found.stdout.startswith(
        "1 cause stops this file. The first: Line 2, column b: a quote opens and never closes."
    )
    assert "Add a quote at the end" in " ".join(found.stdout.split())


def test_the_agreed_json_of_a_sound_file(sound: Path):
    found = run("check", sound, "--json", "--kind", "claim_status")
    told = json.loads(found.stdout)
    assert found.returncode == 0
    assert {"verdict", "dialect", "balance", "findings", "causes"} <= set(told)
    assert told["verdict"] == "sound"
    assert told["dialect"] == {"encoding": "utf-8", "bom": False, "delimiter": ",", "quote": '"', "newline": "\n"}
    assert told["balance"]["lines"] == 6
    assert told["balance"]["balances"] is True
    assert (told["findings"], told["causes"]) == ([], [])


def test_the_agreed_json_of_an_unsound_file(broken: Path):
    found = run("check", broken, "--json")
    told = json.loads(found.stdout)
    assert found.returncode == 1
    assert told["verdict"] == "unsound"
    (finding,) = told["findings"]
    assert {k: finding[k] for k in ("code", "severity", "line", "row", "column", "byte")} == {
        "code": "quote-not-closed",
        "severity": "error",
        "line": 2,
        "row": 1,
        "column": 2,
        "byte": 6,
    }
    assert finding["message"]
    assert finding["mend"]
    assert [(c["code"], c["count"]) for c in told["causes"]] == [("quote-not-closed", 1)]


def test_a_bad_cell_rejects_its_row_and_not_the_file(tmp_path: Path):
    file = tmp_path / "cells.csv"
    file.write_text(SOUND.replace("1980-01-15", "1980-13-15", 1), encoding="utf-8")
    found = run("check", file, "--kind", "claim_status", "--json")
    told = json.loads(found.stdout)
    assert (found.returncode, told["verdict"], told["rejected_rows"]) == (0, "sound", 1)
    assert [(f["code"], f["line"], f["column_name"]) for f in told["findings"]] == [("date", 2, "date_of_birth")]
    assert "1980-13-15" not in found.stdout


def test_a_bad_cell_is_not_counted_among_what_stops_the_file(tmp_path: Path):
    file = tmp_path / "both.csv"
    text = SOUND.replace("1980-01-15", "1980-13-15", 1).replace("00005,Ann", '00005,"Ann', 1)
    file.write_text(text, encoding="utf-8")
    found = run("check", file, "--kind", "claim_status")
    assert found.returncode == 1
    assert found.stdout.startswith("1 cause stops this file. The first: Line 6")


def test_without_a_kind_odd_cells_are_warnings(tmp_path: Path):
    file = tmp_path / "odd.csv"
    file.write_text(
        "id,day\n" + "".join(f"{n},2026-01-{n:02d}\n" for n in range(1, 29)) + "29,soon\n", encoding="utf-8"
    )
    told = json.loads(run("check", file, "--json").stdout)
    assert told["verdict"] == "sound"
    assert [(f["code"], f["severity"], f["line"]) for f in told["findings"]] == [("odd-value", "warning", 30)]


@pytest.mark.parametrize(
    "arguments",
    [["check"], ["check", "no-such-file.csv"], ["check", "."], ["convert"], ["sample", "cats"], ["nonsense"]],
    ids=" ".join,
)
def test_wrong_usage_is_two(arguments: list[str], tmp_path: Path):
    found = run(*arguments, cwd=tmp_path)
    assert found.returncode == 2
    assert "Traceback" not in found.stderr


def test_what_comes_through_a_pipe_is_judged(sound: Path, broken: Path, tmp_path: Path):
    def feed(*arguments: str, data: bytes) -> subprocess.CompletedProcess[bytes]:
        command = [sys.executable, "-m", "rowmill", *arguments]
        return subprocess.run(command, input=data, capture_output=True, check=False)

    told = feed("check", "-", "--json", data=sound.read_bytes())
    assert (told.returncode, json.loads(told.stdout)["balance"]["rows"]) == (0, 5)
    assert feed("check", "/dev/stdin", data=broken.read_bytes()).returncode == 1
    assert feed("check", "-", data=b"").returncode == 1
    written = feed("convert", "-", data=sound.read_bytes())
    assert (written.returncode, written.stdout.decode()) == (0, run("convert", sound).stdout)
    named = tmp_path / "pipe"
    os.mkfifo(named)
    with subprocess.Popen([sys.executable, "-m", "rowmill", "check", named], stdout=subprocess.PIPE) as process:
        named.write_bytes(sound.read_bytes())
        assert process.stdout is not None
        assert process.stdout.read().startswith(b"Sound. 5 rows")


def test_ids_are_compared_with_the_known_ones(tmp_path: Path):
    known, table = tmp_path / "known.csv", tmp_path / "table.csv"
    known.write_text("mrn\n00123\n00456\n")
    table.write_text("when,mrn\n1,123\n2,00456\n3,[red]x\n4,123\n")
    told = run("check", table, "--ids", known)
    assert (told.returncode, told.stderr) == (1, "")
    assert "File contains 2 patient IDs not in patient file: 1 matches when leading zeros are restored" in told.stdout
    assert "'[red]x'" in told.stdout  # what is in a cell is no markup
    found = json.loads(run("check", table, "--ids", known, "--json").stdout)
    assert (found["verdict"], found["ids"]["unknown_rows"], found["ids"]["balances"]) == ("unsound", 3, True)
    first = found["findings"][0]
    assert (first["code"], first["line"], first["row"], first["column"], first["count"]) == ("unknown-id", 2, 1, 2, 3)
    assert found["causes"][0]["message"] == "File contains 2 patient IDs not in patient file."
    assert found["ids"]["unknown_ids"][0] == {
        "id": "123", "rows": 2, "row": 1, "line": 2, "cause": "leading-zeros", "known": "00123"
    }  # fmt: skip
    table.write_text("mrn\n00123\n")
    whole = run("check", table, "--ids", known)
    assert (whole.returncode, "The one ID is known." in whole.stdout) == (0, True)
    assert "ids" not in json.loads(run("check", table, "--json").stdout)


def test_known_ids_that_cannot_be_compared_are_wrong_usage(broken: Path, sound: Path):
    none = run("check", sound, "--ids", sound, "--id-column", "nope")
    assert (none.returncode, "There is no column 'nope'" in none.stderr) == (2, True)
    unsound = run("check", sound, "--ids", broken)
    assert (unsound.returncode, "broken.csv is not sound" in unsound.stderr) == (2, True)
    assert run("check", sound, "--ids", sound.with_name("missing.csv")).returncode == 2


def test_an_unknown_kind_is_two_and_names_those_there_are(sound: Path):
    found = run("check", sound, "--kind", "cats")
    assert (found.returncode, found.stdout) == (2, "")
    assert "claim_status" in found.stderr


def test_a_kind_of_the_settings_is_known(tmp_path: Path):
    file = tmp_path / "things.csv"
    file.write_text("id\n1\n")
    told = run("check", file, "--kind", "nothing", "--json", ROWMILL_KINDS="nothing=tests.probe.Nothing")
    assert json.loads(told.stdout)["verdict"] == "sound"


# ------------------------------------------------------------------------------------------------ convert


def cells(text: str) -> list[list[str]]:
    return list(csv.reader(text.splitlines()))


def test_a_table_comes_out_cell_for_cell(tmp_path: Path):
    file, out = tmp_path / "latin.csv", tmp_path / "out.csv"
    file.write_bytes('id;name;note\r\n0012;J\u00fcrgen Gro\u00df;\r\n0013;\u00c9lise;"a;b"\r\n'.encode("cp1252"))
    wanted = [["id", "name", "note"], ["0012", "Jürgen Groß", ""], ["0013", "Élise", "a;b"]]
    piped = run("convert", file)
    assert (piped.returncode, cells(piped.stdout)) == (0, wanted)
    written = run("convert", file, "-o", out)
    assert (written.returncode, written.stdout) == (0, "")
    assert cells(out.read_text(encoding="utf-8")) == wanted


def test_parquet_holds_the_same(sound: Path, tmp_path: Path):
    out = tmp_path / "out.parquet"
    assert run("convert", sound, "--to", "parquet", "-o", out).returncode == 0
    rows = duckdb.sql(f"SELECT claim_number, note FROM '{out}'").fetchall()
    assert rows == [(f"0000{n}", "a, b") for n in range(1, 6)]


def test_parquet_needs_a_file(sound: Path):
    assert run("convert", sound, "--to", "parquet").returncode == 2


def test_nothing_is_written_of_an_unsound_file(broken: Path, tmp_path: Path):
    out = tmp_path / "out.csv"
    for more in ([], ["-o", out]):
        found = run("convert", broken, *more)
        assert (found.returncode, found.stdout) == (3, "")
        assert "quote-not-closed" in found.stderr
        assert "line 2" in found.stderr
    assert not out.exists()
    assert {path.name for path in tmp_path.iterdir()} == {"broken.csv"}


def test_broken_rows_may_be_left_out_and_are_named(broken: Path):
    found = run("convert", broken, "--without-broken-rows")
    assert (found.returncode, cells(found.stdout)) == (0, [["a", "b"], ["2", "y"]])
    assert "line 2" in found.stderr


def test_warnings_go_to_stderr(tmp_path: Path):
    file = tmp_path / "blank.csv"
    file.write_text("a,b\n1,2\n\n3,4\n")
    found = run("convert", file)
    assert (found.returncode, cells(found.stdout)) == (0, [["a", "b"], ["1", "2"], ["3", "4"]])
    assert "warning" in found.stderr
    assert "blank-line" in found.stderr


# ------------------------------------------------------------------------------------------------ sample, version


def test_the_same_seed_gives_the_same_bytes(tmp_path: Path):
    files = []
    for name, seed in (("one", 5), ("two", 5), ("three", 6)):
        out, book = tmp_path / f"{name}.csv", tmp_path / f"{name}.jsonl"
        found = run("sample", "claims", "--rows", 50, "--seed", seed, "--out", out, "--book", book)
        assert found.returncode == 0
        assert "50 claims" in found.stdout
        files.append((out.read_bytes(), book.read_bytes()))
    assert files[0] == files[1]
    assert files[0] != files[2]
    assert run("check", tmp_path / "one.csv", "--kind", "claim_status").returncode == 0
    assert len(files[0][1].splitlines()) == 50


def test_version():
    assert run("version").stdout == f"{__version__}\n"


def test_a_sample_may_be_a_workbook_and_is_read_as_the_csv_is(tmp_path: Path):
    book, plain = tmp_path / "claims.xlsx", tmp_path / "claims.csv"
    for out in (book, plain):
        assert run("sample", "claims", "--rows", "40", "--seed", "3", "--out", out).returncode == 0
    assert book.read_bytes()[:2] == b"PK"
    assert cells(run("convert", book).stdout) == cells(run("convert", plain).stdout)
    checked = json.loads(run("check", book, "--kind", "claim_status", "--sheet", "nothing", "--json").stdout)
    assert [f["code"] for f in checked["findings"]] == ["sheet-missing"]
    checked = json.loads(run("check", book, "--kind", "claim_status", "--json").stdout)
    assert (checked["verdict"], checked["balance"]["rows"], checked["dialect"]) == ("sound", 40, None)
