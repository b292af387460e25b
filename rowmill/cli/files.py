"""Commands on files alone, without server or database: `check`, `convert`, `sample`."""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rowmill.cli.rules import find_rules

if TYPE_CHECKING:
    from rich.table import Table

    from rowmill.contracts import Finding, Inspection
    from rowmill.tabular.known_ids import IdAccount

SHOWN_FINDINGS = 50


class Format(StrEnum):
    """What `convert` writes."""

    csv = "csv"
    parquet = "parquet"


class SampleKind(StrEnum):
    """What `sample` makes."""

    claims = "claims"
    cohort = "cohort"


SheetOption = Annotated[
    str | None, typer.Option(help="The sheet of a workbook to read; else the first visible one with data.")
]


def _need_file(file: Path) -> Path:
    """Raises: BadParameter. Typer's own test does not know "-" once it is a path."""
    if str(file) == "-":
        return file
    if not file.exists():
        raise typer.BadParameter(f"file {str(file)!r} does not exist.")
    if file.is_dir():
        raise typer.BadParameter(f"{str(file)!r} is a folder; give a file.")
    if not os.access(file, os.R_OK):
        raise typer.BadParameter(f"file {str(file)!r} may not be read.")
    return file


FileArgument = Annotated[
    Path, typer.Argument(help="The file to read; - for standard input.", callback=_need_file, show_default=False)
]


def check(
    file: FileArgument,
    kind: Annotated[
        str | None, typer.Option(help="Check the columns and cells against a kind, such as claim_status.")
    ] = None,
    schema: Annotated[
        Path | None,
        typer.Option(help="The same against the rules of a Table Schema (Frictionless).", exists=True, dir_okay=False),
    ] = None,
    sheet: SheetOption = None,
    ids: Annotated[
        Path | None,
        typer.Option(help="A table of known IDs: tell which IDs of FILE are not in it.", exists=True, dir_okay=False),
    ] = None,
    id_column: Annotated[
        str, typer.Option(help="The column of IDs in FILE; else the one named as the first column of the known ones.")
    ] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Say whether a file is a sound table, and if not, exactly what is wrong, where, and what to do.

    Needs no server and no database. Exit: 0 sound, 1 not sound, 2 wrong usage.
    """
    from rowmill.tabular.known_ids import compare_ids
    from rowmill.tabular.report import check_json, ids_json

    with _whole(file) as path:
        inspection = inspect_file(path, kind, sheet, schema)
        account = compare_ids(path, ids, id_column, sheet=sheet) if ids and inspection.verdict == "sound" else None
    if account is not None and account.unknown:
        inspection = replace(inspection, verdict="unsound", findings=(account.finding(), *inspection.findings))
    if as_json:
        print(json.dumps(check_json(inspection) | ({"ids": ids_json(account)} if account else {})))
    else:
        _print_report(file, inspection)
        if account is not None:
            _print_ids(account)
    raise typer.Exit(0 if inspection.verdict == "sound" else 1)


@contextmanager
def _whole(file: Path) -> Iterator[Path]:
    """Give a file that can be read more than once: what comes through a pipe is kept until it is judged."""
    if str(file) != "-" and file.is_file():
        yield file
        return
    with tempfile.TemporaryDirectory(prefix="rowmill-") as folder:
        kept = Path(folder) / "standard input"
        if str(file) == "-" and sys.stdin.isatty():
            print("Reading from the terminal; Ctrl-D ends the file.", file=sys.stderr)
        with kept.open("wb") as target, sys.stdin.buffer if str(file) == "-" else file.open("rb") as source:
            shutil.copyfileobj(source, target, 1 << 20)
        yield kept


def inspect_file(file: Path, kind: str | None, sheet: str | None = None, schema: Path | None = None) -> Inspection:
    """Run the fast path over a file, against a kind or a Table Schema where one is named. Raises: NotFound, InputError."""
    from rowmill.tabular.child import inspect_in_child

    rules = find_rules(kind, schema)
    return inspect_in_child(file, rules.columns, rules.checks, row_checks=rules.row_checks, sheet=sheet, thorough=True)


def _print_report(file: Path, inspection: Inspection) -> None:
    """Print verdict, balance and findings for people."""
    from rich.console import Console

    from rowmill.tabular.report import describe

    console = Console(soft_wrap=True, highlight=False)
    colour = "green" if inspection.verdict == "sound" else "red"
    console.print(f"[bold {colour}]{describe(inspection)}[/]")
    balance = inspection.balance
    console.print(
        f"{balance.lines:,} lines = {balance.header:,} header + {balance.rows:,} rows + {balance.blank:,} blank + "
        f"{balance.continuation:,} continuation + {balance.preamble_footer:,} preamble and footer + {balance.broken:,} broken"
    )
    if not inspection.findings:
        return
    table = _plain_table("Line", "Column", "Times", "What", "What to do")
    for finding in inspection.findings[:SHOWN_FINDINGS]:
        column = finding.column_name or (str(finding.column) if finding.column else "")
        line = f"{finding.line:,}" if finding.line else ""
        mark = "" if finding.severity == "error" else "(warning) "
        table.add_row(line, column, f"{finding.count:,}", mark + finding.message, finding.mend)
    console.print(table)
    more = len(inspection.findings) - SHOWN_FINDINGS
    if more > 0:
        console.print(f"and {more:,} more; `rowmill check --json {file.name}` lists them all.")


def _plain_table(*names: str) -> Table:
    """Make a table without lines, whose cells are folded."""
    from rich.table import Table

    table = Table(show_lines=False, box=None, pad_edge=False)
    for name in names:
        table.add_column(name, overflow="fold")
    return table


def _print_ids(account: IdAccount) -> None:
    """Print what became of the IDs that are not known, the first of them with their place."""
    from rich.console import Console
    from rich.text import Text

    from rowmill.tabular.known_ids import NEAR_IDS, say_cause

    console = Console(soft_wrap=True, highlight=False)
    console.print(account.describe(), markup=False)
    if not account.near_searched:
        console.print(f"Near neighbours were looked for among the first {NEAR_IDS:,} only.")
    if not account.unknown:
        return
    table = _plain_table("Line", "Rows", "ID", "Known as", "Because it")
    for one in account.unknown_ids[:SHOWN_FINDINGS]:
        because = say_cause(one.cause, 1).partition(" ")[2]
        known = Text(repr(one.known) if one.known else "")
        table.add_row(f"{one.line:,}", f"{one.rows:,}", Text(repr(one.id)), known, because)
    console.print(table)
    if account.unknown > SHOWN_FINDINGS:
        console.print(f"and {account.unknown - SHOWN_FINDINGS:,} more; --json lists the first 1,000.")


def convert(
    file: FileArgument,
    out: Annotated[
        Path | None, typer.Option("-o", "--out", help="Where to write; else standard output (CSV only).")
    ] = None,
    to: Annotated[Format, typer.Option(help="csv or parquet.")] = Format.csv,
    without_broken_rows: Annotated[
        bool, typer.Option(help="Leave out rows whose structure is broken, and say how many.")
    ] = False,
    sheet: SheetOption = None,
) -> None:
    """Write the table as it was understood: UTF-8, commas, header first, every cell as it was.

    Exit: 0 written, 3 not sound (findings on stderr, nothing is written), 2 wrong usage. Warnings go to stderr.
    """
    from rowmill.tabular.convert import convert as convert_file

    if out is None and to is Format.parquet:
        raise typer.BadParameter("Parquet needs a file: give -o OUT.")
    with _place_to_write(out) as target:
        with _whole(file) as path:
            report = convert_file(path, target, to=to.value, without_broken_rows=without_broken_rows, sheet=sheet)
        for finding in report.inspection.findings:
            print(_finding_line(finding), file=sys.stderr)
        if report.rows_written is None:
            raise typer.Exit(3)
        if out is None:
            with target.open("rb") as written:
                shutil.copyfileobj(written, sys.stdout.buffer)
        else:
            print(f"{report.rows_written:,} rows in {out}", file=sys.stderr)


@contextmanager
def _place_to_write(out: Path | None) -> Iterator[Path]:
    """Give the file to write; for standard output one that goes away."""
    if out is not None:
        yield out
        return
    with tempfile.TemporaryDirectory(prefix="rowmill-") as folder:
        yield Path(folder) / "table.csv"


def _finding_line(finding: Finding) -> str:
    """Put a finding on one line."""
    place = f"line {finding.line:,}" if finding.line else "file"
    times = f" ({finding.count:,} times)" if finding.count > 1 else ""
    return f"{finding.severity}: {place}: {finding.code}: {finding.message}{times} {finding.mend}".rstrip()


def _write_workbook(plain: Path, out: Path) -> None:
    """Write a CSV's cells as texts of a workbook."""
    import csv

    from rowmill.tabular.writers import write_xlsx

    with plain.open(encoding="utf-8", newline="") as source, out.open("wb") as target:
        cells = csv.reader(source)
        write_xlsx(next(cells), cells, target)


def sample(
    what: Annotated[SampleKind, typer.Argument(help="What to make.")],
    rows: Annotated[int, typer.Option(help="How many rows.", min=0)] = 200,
    seed: Annotated[int, typer.Option(help="The same seed gives the same bytes.")] = 1,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="The file to write: .csv, or .xlsx for a workbook of claims.")
    ] = None,
    book: Annotated[
        Path | None, typer.Option(help="Also write what the simulator shall answer and what must come of it.")
    ] = None,
) -> None:
    """Make a sample file of invented people. With `--book`, every row's result is known beforehand.

    A cohort is a lab table, and its patients beside it: some IDs of the table are damaged in known ways.
    """
    from rowmill.claims.sample import make_claims

    if what is SampleKind.cohort:
        _sample_cohort(rows, seed, out or Path("labs.csv"), book)
        return
    out = out or Path("claims.csv")
    if out.suffix.lower() == ".xlsx":
        with tempfile.TemporaryDirectory(prefix="rowmill-") as folder:
            plain = Path(folder) / "claims.csv"
            counts = make_claims(rows, seed, plain, book)
            _write_workbook(plain, out)
    else:
        counts = make_claims(rows, seed, out, book)
    words = ", ".join(f"{count:,} {outcome}" for outcome, count in counts.items())
    print(f"{rows:,} {what.value} in {out}" + (f", book in {book}" if book else "") + (f" ({words})" if words else ""))


def _sample_cohort(rows: int, seed: int, out: Path, book: Path | None) -> None:
    """Make a lab table with its patients. The words count damaged IDs, not rows."""
    from rowmill.cohorts.sample import make_cohort, patients_path

    if out.suffix.lower() == ".xlsx":
        print("A cohort is written as CSV: give --out a name that ends in .csv.", file=sys.stderr)
        raise typer.Exit(2)
    counts = make_cohort(rows, seed, out, book)
    words = ", ".join(f"{count:,} {cause}" for cause, count in counts.items())
    told = f", book in {book}" if book else ""
    print(f"{rows:,} lab rows in {out}, their patients in {patients_path(out)}{told} (damaged IDs: {words})")
