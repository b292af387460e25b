"""`check`: the verdict on a file for people and for scripts, and its mended copy."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rowmill.cli.files import FileArgument, SheetOption, whole
from rowmill.cli.rules import find_missing_key, find_rules

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rich.console import Console
    from rich.table import Table

    from rowmill.contracts import Finding, Inspection, Rules
    from rowmill.tabular.known_ids import IdAccount
    from rowmill.tabular.mends import MendReport

SHOWN_FINDINGS = 50


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
    mend: Annotated[
        Path | None,
        typer.Option(help="Write a mended copy here, with every mend that needs no guessing.", dir_okay=False),
    ] = None,
    without_broken_rows: Annotated[
        bool, typer.Option("--without-broken-rows", help="With --mend: leave out the rows that are still broken.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Say whether a file is a sound table, and if not, exactly what is wrong, where, and what to do.

    Needs no server and no database. Exit: 0 sound, 1 not sound, 2 wrong usage. With `--mend` the mended copy counts.
    """
    from rowmill.tabular.known_ids import compare_ids
    from rowmill.tabular.report import check_json, ids_json

    _need_place(file, mend, without_broken_rows)
    rules = replace(find_rules(kind, schema), sheet=sheet)
    with whole(file) as path:
        inspection = inspect_file(path, rules)
        account = compare_ids(path, ids, id_column, sheet=sheet) if ids and inspection.verdict == "sound" else None
        keyless = find_missing_key(kind, inspection.mapping) if inspection.verdict == "sound" else None
        for finding in (keyless, account.finding() if account is not None and account.unknown else None):
            inspection = _add(inspection, finding) if finding is not None else inspection
        if not as_json:
            _print_report(file, path, inspection, hint=mend is None)
            if account is not None:
                _print_ids(account)
        mended = _mend(path, mend, inspection, rules, without_broken_rows) if mend else None
    if as_json:
        told = check_json(inspection) | ({"ids": ids_json(account)} if account else {})
        print(json.dumps(told | ({"mended": mended} if mended else {})))
    elif mended:
        _print_mended(mended)
    verdict = mended["verdict"] if mended and not keyless and not (account and account.unknown) else inspection.verdict
    raise typer.Exit(0 if verdict == "sound" else 1)


def _add(inspection: Inspection, finding: Finding) -> Inspection:
    """Add a finding that makes a file unsound, and its cause."""
    from rowmill.contracts import Cause

    told = {name: value for name, value in asdict(finding).items() if name != "mend"}
    findings, causes = (finding, *inspection.findings), (Cause(**told), *inspection.causes)
    return replace(inspection, verdict="unsound", findings=findings, causes=causes)


def _need_place(file: Path, mend: Path | None, without_broken_rows: bool) -> None:
    """Raises: BadParameter where the mended copy would be the file itself, or is not asked for."""
    if mend is None:
        if without_broken_rows:
            raise typer.BadParameter("--without-broken-rows needs --mend OUT.")
        return
    if mend.exists() and file.exists() and mend.samefile(file):
        raise typer.BadParameter("--mend OUT is the file itself; the original is never changed. Give another name.")
    if not mend.resolve().parent.is_dir():
        raise typer.BadParameter(f"--mend OUT: there is no folder {str(mend.parent)!r}.")


def inspect_file(file: Path, rules: Rules) -> Inspection:
    """Run the fast path over a file, and look for what a spreadsheet has damaged."""
    from rowmill.tabular.child import inspect_in_child

    return inspect_in_child(file, rules, thorough=True)


# ------------------------------------------------------------------------------------------------ the mended copy


def _mend(path: Path, out: Path, inspection: Inspection, rules: Rules, without_broken_rows: bool) -> dict[str, Any]:
    """Write the mended copy and judge it. Shape: out, applied, left_out, still_broken, verdict, summary, problem."""
    from rowmill.errors import ChildError, InputError
    from rowmill.tabular.mend_child import mend_in_child
    from rowmill.tabular.mends import WITHOUT_BROKEN_ROWS
    from rowmill.tabular.report import describe

    slugs = {cause.mend for cause in inspection.causes if cause.mend}
    if without_broken_rows:
        slugs.add(WITHOUT_BROKEN_ROWS)
    try:
        report = mend_in_child(path, out, slugs, rules)
    except (ChildError, InputError):
        problem = "Nothing is written: this file cannot be mended without losing something of it."
        return {"out": None, "verdict": "unsound", "summary": problem} | _counts(None)
    judged = inspect_file(out, replace(rules, sheet=None))
    return {"out": str(out), "verdict": judged.verdict, "summary": describe(judged)} | _counts(report)


def _counts(report: MendReport | None) -> dict[str, Any]:
    """Give the counts of a mending."""
    if report is None:
        return {"applied": {}, "left_out": 0, "still_broken": 0}
    applied = {slug: count for slug, count in sorted(report.applied.items()) if slug != "without-broken-rows"}
    return {"applied": applied, "left_out": report.left_out, "still_broken": report.still_broken}


def _print_mended(mended: Mapping[str, Any]) -> None:
    """Print each mend with its count, and what the mended copy is."""
    from rowmill.tabular.mends import get_mend

    console = _console()
    if mended["out"] is None:
        console.print(mended["summary"], markup=False)
        return
    console.print()
    if not mended["applied"]:
        console.print("There is nothing that can be mended without guessing.")
    for slug, count in mended["applied"].items():
        console.print(f"{count:>9,}  {get_mend(slug).title} ({slug})", markup=False)
    if mended["left_out"]:
        console.print(f"{mended['left_out']:>9,}  broken rows left out")
    if mended["still_broken"]:
        console.print(f"{mended['still_broken']:>9,}  rows still broken; --without-broken-rows leaves them out")
    colour = "green" if mended["verdict"] == "sound" else "red"
    console.print(f"{mended['out']}: {mended['summary']}", style=f"bold {colour}", markup=False)


# ------------------------------------------------------------------------------------------------ for people


def _console() -> Console:
    """Give a console: colours on a terminal only, and not where NO_COLOR is set."""
    from rich.console import Console

    return Console(soft_wrap=True, highlight=False)


def _print_report(file: Path, path: Path, inspection: Inspection, *, hint: bool) -> None:
    """Print verdict, balance, causes with their places, and findings for people."""
    from rowmill.tabular.report import describe

    console = _console()
    colour = "green" if inspection.verdict == "sound" else "red"
    console.print(describe(inspection), style=f"bold {colour}", markup=False)
    balance = inspection.balance
    console.print(
        f"{balance.lines:,} lines = {balance.header:,} header + {balance.rows:,} rows + {balance.blank:,} blank + "
        f"{balance.continuation:,} continuation + {balance.preamble_footer:,} preamble and footer + {balance.broken:,} broken"
    )
    if not inspection.findings:
        return
    _print_causes(console, path, inspection, hint=hint)
    table = _plain_table("Line", "Column", "Times", "What", "What to do")
    for finding in inspection.findings[:SHOWN_FINDINGS]:
        column = finding.column_name or (str(finding.column) if finding.column else "")
        line = f"{finding.line:,}" if finding.line else ""
        mark = "" if finding.severity == "error" else "(warning) "
        table.add_row(line, column, f"{finding.count:,}", mark + finding.message, finding.mend)
    console.print(table)
    more = len(inspection.findings) - SHOWN_FINDINGS
    if more > 0:
        console.print(f"and {more:,} more; `rowmill check --json {file.name}` lists them all.", markup=False)


def _print_causes(console: Console, path: Path, inspection: Inspection, *, hint: bool) -> None:
    """Print the root causes, each with its mend and the lines around its first place."""
    from rowmill.cli.places import SHOWN_CAUSES, print_place
    from rowmill.tabular.mends import get_mend

    causes = inspection.causes
    if not causes:
        return
    console.print()
    console.print("1 cause" if len(causes) == 1 else f"{len(causes):,} causes", style="bold")
    for number, cause in enumerate(causes[:SHOWN_CAUSES], 1):
        colour = "red" if cause.severity == "error" else "yellow"
        mark = "" if cause.severity == "error" else "(warning) "
        console.print(f"{number:>3}. {mark}{cause.message}", style=colour, markup=False)
        if cause.mend:
            title = get_mend(cause.mend).title
            console.print(
                f"     Mend: {title} ({cause.mend}); it clears {'about ' if cause.about else ''}{cause.clears:,}.",
                markup=False,
            )
        print_place(console, path, inspection, cause)
    if len(causes) > SHOWN_CAUSES:
        console.print(f"     and {len(causes) - SHOWN_CAUSES:,} more causes")
    if hint and any(cause.mend for cause in causes):
        console.print("     `rowmill check --mend OUT` writes a copy with these mends.")
    console.print()


def _plain_table(*names: str) -> Table:
    """Make a table without lines, whose cells are folded."""
    from rich.table import Table

    table = Table(show_lines=False, box=None, pad_edge=False)
    for name in names:
        table.add_column(name, overflow="fold")
    return table


def _print_ids(account: IdAccount) -> None:
    """Print what became of the IDs that are not known, the first of them with their place."""
    from rich.text import Text

    from rowmill.tabular.known_ids import NEAR_IDS, say_cause

    console = _console()
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
