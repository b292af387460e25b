"""Exports of many programs, and what befalls files on their way: nothing silently wrong, no false alarm, the right line.

`python -m tests.zoo.test_exports 13 SEED` judges 13 files of each, about a thousand in all, and prints what went wrong.
"""

from __future__ import annotations

import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from rowmill.tabular.inspect import open_table
from rowmill.tabular.reading import Limits
from tests.zoo.case import Case
from tests.zoo.mishaps import corpus
from tests.zoo.one_database import one_database


@pytest.fixture(scope="module", autouse=True)
def database() -> Iterator[None]:
    with one_database():
        yield


def answer(case: Case, path: Path) -> tuple[str, str]:
    """Give what is wrong with the answer to a file, "" for nothing, and the findings."""
    path.write_bytes(case.data)
    with open_table(path, limits=Limits(threads=1)) as reading:
        inspection, table = reading.inspection, []
        if inspection.verdict == "sound" and reading.con is not None and reading.rows_sql is not None:
            rows = reading.con.execute(f"SELECT * FROM {reading.rows_sql}").fetchall()
            table = [list(inspection.header), *map(list, rows)]
    found = [(f.severity, f.code, f.line) for f in inspection.findings]
    wrong = case.judge(inspection.verdict, found, table)
    return wrong if inspection.balance.balances else "balance", f"{inspection.verdict} {found[:5]}"


@pytest.mark.parametrize("case", [pytest.param(c, id=f"{n} {c.name}") for n, c in enumerate(corpus(1))])
def test_the_answer_is_what_a_stranger_expects(case: Case, tmp_path: Path) -> None:
    assert answer(case, tmp_path / "in.csv")[0] == ""


TABLES = (
    "ISA,amount\nx,1\n",
    "ISA*,amount\nx,1\n",
    "ISA|name\n00|x\n",
    "MSH|PID|OBX\n1|2|3\n",
    "UNB+UNA,n\nx,1\n",
    "SQL,n\nCREATE TABLE x (a int);,1\n",
    "create table,insert into,values\noak,x,1\n",
    "--,n\nx,1\n",
    "Date: ,From: ,Content-Type: \nx,y,z\n",
    "From,Date,Subject\nx,y,z\n",
    "BEGIN:VCARD,n\nx,1\n",
    "RDX3,n\nx,1\n",
    "ORC\nx\n",
    "HEADER RECORD,n\nx,1\n",
    "DICM,n\nx,1\n",
    "a\x85b,c\x85d\n1,2\n",
)


@pytest.mark.parametrize("text", TABLES)
def test_a_table_that_begins_a_little_like_something_else_is_read(text: str, tmp_path: Path) -> None:
    delimiter = "|" if "|" in text else ","
    table = [line.split(delimiter) for line in text.split("\n")[:-1]]
    assert answer(Case("", text.encode(), "", frozenset(), 0, 0, table), tmp_path / "in.csv") == ("", "sound []")


def test_comments_without_end_are_no_trap(tmp_path: Path) -> None:
    case = Case("", b"/**/" * 16_000 + b",", "any", frozenset(), 0, 0, None)
    answer(case, tmp_path / "in.csv")


@pytest.mark.parametrize("codec", ["utf-16-le", "utf-16-be"])
def test_a_torn_line_end_of_utf_16_is_told_at_its_byte(codec: str, tmp_path: Path) -> None:
    data = ("\ufeff" + "id,name\n" + "1,x\n" * 20).encode(codec).replace(b"\n", b"\r\n")
    (tmp_path / "in.csv").write_bytes(data)
    with open_table(tmp_path / "in.csv") as reading:
        first = next(f for f in reading.inspection.findings if f.severity == "error")
    assert (first.code, reading.inspection.verdict) == ("bad-encoding", "unsound")
    assert first.byte == data.index(b"\r\n") + (codec == "utf-16-be")


def main(each: int, seed: int) -> int:
    """Judge the whole corpus. Gives 1 where something went wrong."""
    tally: Counter[str] = Counter()
    with one_database(), tempfile.TemporaryDirectory() as folder:
        for case in corpus(each, seed):
            wrong, found = answer(case, Path(folder) / "in.csv")
            tally[wrong or "right"] += 1
            if wrong:
                print(f"{wrong}: {case.name}, wanted {case.told} {sorted(case.codes)} {case.line}-{case.last}: {found}")
    print(dict(tally))
    return int(set(tally) != {"right"})


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), int(sys.argv[2])))
