"""Commands on files alone, without server or database: `convert` and `sample`; what `check` shares with them."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rowmill.tabular.damage import KINDS, put_damage

if TYPE_CHECKING:
    from rowmill.contracts import Finding


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


@contextmanager
def whole(file: Path) -> Iterator[Path]:
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
        with whole(file) as path:
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
    damage: Annotated[
        str | None,
        typer.Option(help="Put one fault into the file, at a place drawn from the seed: " + ", ".join(KINDS) + "."),
    ] = None,
) -> None:
    """Make a sample file of invented people. With `--book`, every row's result is known beforehand.

    A cohort is a lab table, and its patients beside it: some IDs of the table are damaged in known ways.
    """
    out = out or Path("claims.csv" if what is SampleKind.claims else "labs.csv")
    if damage is not None and damage not in KINDS:
        raise typer.BadParameter(f"There is no such damage. One of: {', '.join(KINDS)}.", param_hint="--damage")
    if damage is not None and (rows == 0 or out.suffix.lower() == ".xlsx"):
        raise typer.BadParameter("Damage is put into a CSV file with at least one row.", param_hint="--damage")
    from rowmill.claims.sample import make_claims

    if what is SampleKind.cohort:
        words = _sample_cohort(rows, seed, out, book)
    elif out.suffix.lower() == ".xlsx":
        with tempfile.TemporaryDirectory(prefix="rowmill-") as folder:
            plain = Path(folder) / "claims.csv"
            words = _count_words(make_claims(rows, seed, plain, book))
            _write_workbook(plain, out)
    else:
        words = _count_words(make_claims(rows, seed, out, book))
    if damage is not None:
        line = put_damage(out, damage, seed)
        print(f"Line {line:,} of {out}: {KINDS[damage].title}.")
    noun = "claims" if what is SampleKind.claims else "lab rows"
    print(f"{rows:,} {noun} in {out}" + (f", book in {book}" if book else "") + (f" ({words})" if words else ""))


def _count_words(counts: Mapping[str, int]) -> str:
    """Say what there is of each."""
    return ", ".join(f"{count:,} {word}" for word, count in counts.items())


def _sample_cohort(rows: int, seed: int, out: Path, book: Path | None) -> str:
    """Make a lab table with its patients beside it, and say how many IDs were damaged in which way."""
    from rowmill.cohorts.sample import make_cohort, patients_path

    if out.suffix.lower() == ".xlsx":
        raise typer.BadParameter("A cohort is written as CSV: give a name that ends in .csv.", param_hint="--out")
    words = _count_words(make_cohort(rows, seed, out, book)) or "none"
    return f"patients in {patients_path(out)}, damaged IDs: {words}"
