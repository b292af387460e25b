"""Root causes: the findings of a judged file grouped by what lies behind them, each with the mend that clears it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from rowmill.contracts import Cause, Column, Finding
from rowmill.tabular.cause_cells import find_cell_cause, find_damage_cause
from rowmill.tabular.cause_mends import MendFinder
from rowmill.tabular.causes_words import say_cause
from rowmill.tabular.mend_damage import BY_CODE
from rowmill.tabular.mend_header import has_surplus_name, near_names, repair_header
from rowmill.tabular.mend_text import Layout, lay_out, open_text
from rowmill.tabular.reading import Reading
from rowmill.tabular.wording import WORDING

# Codes that are one cause wherever they stand: the column only tells the first place.
_MERGED = {"mixed-encodings": "bad-encoding"}
_BY_COLUMN = (
    "column-missing",
    "column-doubled",
    "header-empty",
    "header-doubled",
    "odd-value",
    "error-cell",
    "long-number",
)
_SWALLOWED = re.compile(r"([\d,]+) rows? after it")


@dataclass(slots=True)
class _Group:
    """The findings that share a cause, in the order of the file."""

    code: str
    findings: list[Finding] = field(default_factory=list)

    @property
    def count(self) -> int:
        """Count the places."""
        return sum(finding.count for finding in self.findings)


def find_causes(reading: Reading, columns: Sequence[Column] = ()) -> tuple[Cause, ...]:
    """Give the root causes behind the findings of a file, errors first, the biggest first. `columns` are the kind's.

    Cost: nothing where there are no findings; else a look at a few hundred places of each code, one reading of the
    broken records that a mend may clear, and one pass over each column with bad cells that look like dates.
    """
    findings = reading.inspection.findings
    if not findings:
        return ()
    layout = lay_out(reading)
    causes: list[Cause] = []
    groups = list(_group(findings))
    if layout is None:
        causes = [_plain(group) for group in groups]
    else:
        with open_text(layout) as file:
            finder = MendFinder(layout, file)
            for group in groups:
                causes += _explain(group, reading, columns, layout, finder)
    return tuple(sorted(causes, key=lambda c: (c.severity != "error", -c.count)))


def _group(findings: Iterable[Finding]) -> Iterator[_Group]:
    """Put findings of one cause together."""
    groups: dict[tuple[object, ...], _Group] = {}
    for number, finding in enumerate(findings):
        code = _MERGED.get(finding.code, finding.code)
        by_column = code in _BY_COLUMN or code not in WORDING or code.startswith("excel-")
        alone = number if code == "column-missing" else 0
        key = (code, finding.column_name or finding.column if by_column else None, finding.severity, alone)
        groups.setdefault(key, _Group(code)).findings.append(finding)
    return iter(groups.values())


def _explain(
    group: _Group, reading: Reading, columns: Sequence[Column], layout: Layout, finder: MendFinder
) -> Iterator[Cause]:
    """Give the cause of a group; several where different mends clear parts of it."""
    codes = {finding.code for finding in group.findings} | {group.code}
    if group.code == "lone-cr" and not any(len(layout.groups.get(code, ())) for code in codes):
        # Where it also is the first other line ending, it is listed as that.
        codes = {"mixed-newlines"}
    if group.code not in WORDING or group.code == "odd-value":
        yield find_cell_cause(group.findings, group.count, reading)
    elif group.code in BY_CODE:
        yield find_damage_cause(group.findings[0], group.count, reading)
    elif cause := _explain_header(group, reading, columns, layout):
        yield cause
    elif any(len(layout.groups.get(code, ())) for code in codes):
        yield from _explain_breaks(group, sorted(codes), finder)
    else:
        yield _plain(group)


def _explain_header(group: _Group, reading: Reading, columns: Sequence[Column], layout: Layout) -> Cause | None:
    """Give the cause of what is wrong with the header or with the file as a whole; None for other findings."""
    code = group.code
    if code == "column-missing":
        return _plain(group, _near_name(group.findings[0], reading.inspection.header, columns))
    if code == "header-broken":
        repairs = repair_header(layout) if layout.head.fault is not None else []
        return _plain(group, repairs[0][0] if repairs else "")
    if code == "header-empty":
        last = group.findings[0].column == layout.table.width + 1
        return _plain(group, "trailing-delimiter" if last and has_surplus_name(layout) else "")
    if code in ("trailing-delimiter", "encoding-guessed", "mixed-newlines"):
        slug = {"encoding-guessed": "encoding", "mixed-newlines": "newlines"}.get(code, code)
        count = reading.inspection.balance.rows if code == "trailing-delimiter" else group.count
        return _worded(group, slug, slug, count, {"line": _line(group.findings[0])})
    in_header = group.findings[0].line is not None and group.findings[0].row is None and code not in layout.groups
    if in_header and code in ("quote-in-unquoted", "typographic-quotes", "control-z"):
        repairs = repair_header(layout)
        return _plain(group, repairs[0][0] if repairs else "")
    return None


def _near_name(finding: Finding, header: Sequence[str], columns: Sequence[Column]) -> str:
    """Give the mend for a missing column whose name stands there in a near spelling, "" for none."""
    for name in near_names(header, columns):
        if finding.message == WORDING["column-missing"].message.format(
            place=finding.message.partition(":")[0], needed=name, nearest=finding.message.partition(" is missing.")[2]
        ):
            return f"header:{name}"
    return ""


def _explain_breaks(group: _Group, codes: Sequence[str], finder: MendFinder) -> Iterator[Cause]:
    """Give a cause for each mend that helps in a group, and one for the rest."""
    parts = finder.sort(group.code, codes)
    breaks = sum(part.count for part in parts)
    for part in parts:
        # One place may be several findings' and the other way round; a part of them is reckoned then.
        count = group.count if len(parts) == 1 else max(1, round(part.count * group.count / breaks))
        about = part.about or (len(parts) > 1 and breaks != group.count)
        # Of a single mend every place is known; only that it clears them all is not.
        reckoned = about and len(parts) > 1
        words = {"line": f"{part.first.line:,}", "last": f"{part.last.line:,}", "other": part.answer.other}
        block = len(parts) == 1 and _is_block(group, finder.layout, part.first.line, part.last.line, breaks)
        mend = part.answer.mend
        cause = _worded(group, mend, mend, count, words, at=part.first.start, block=block, about=reckoned)
        yield replace(cause, about=about)


def _is_block(group: _Group, layout: Layout, first: int, last: int, breaks: int) -> bool:
    """Tell whether the places of a cause are one stretch of lines without a gap."""
    if group.code == "bad-encoding":
        # From some line on: what is ASCII alone may stand between.
        return breaks > 1 and 10 * breaks > last - first
    return breaks > 1 and last - first + 1 == breaks


def _worded(
    group: _Group,
    slug: str,
    mend: str,
    count: int,
    words: dict[str, object] | dict[str, str],
    *,
    at: int | None = None,
    block: bool = False,
    about: bool = False,
) -> Cause:
    """Give a cause with a sentence of its own, told at the first finding that is its."""
    first = group.findings[0]
    if at is not None and len(group.findings) > 1:
        first = next((f for f in group.findings if f.line and f"{f.line:,}" == words["line"]), first)
    swallowed = _SWALLOWED.search(first.message)
    words = {"other": "", "last": "", **words, "swallowed": swallowed[1] if swallowed else "the"}
    text = say_cause(group.code, slug, block=block, count=count, about=about, words=words)
    return _cause(first, text or _repeat(first, count), count, mend)


def _plain(group: _Group, mend: str = "") -> Cause:
    """Give a cause in the words of its first finding."""
    first = group.findings[0]
    text = say_cause(group.code, "", block=False, count=group.count, about=False, words=_no_words(first))
    return _cause(first, text or _repeat(first, group.count), group.count, mend)


def _no_words(finding: Finding) -> dict[str, object]:
    """Give the words of a place of which no more is known."""
    swallowed = _SWALLOWED.search(finding.message)
    return {"line": _line(finding), "last": "", "other": "", "swallowed": swallowed[1] if swallowed else "the"}


def _line(finding: Finding) -> str:
    """Give a finding's line for people."""
    return f"{finding.line:,}" if finding.line else "1"


def _repeat(finding: Finding, count: int) -> str:
    """Say a finding, and how often it was met."""
    if count == 1 or finding.code.startswith("excel-"):  # which tells the number itself
        return finding.message
    return f"{finding.message} ({count:,} such places, this is the first.)"


def _cause(first: Finding, message: str, count: int, mend: str) -> Cause:
    """Make a cause at the place of a finding."""
    return Cause(
        first.code,
        first.severity,
        message,
        count,
        mend,
        count if mend else 0,
        first.line,
        first.row,
        first.column,
        first.column_name,
        first.byte,
    )
