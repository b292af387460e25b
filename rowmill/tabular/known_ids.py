"""Beside the verdict: which IDs of a table are not among the known ones, and for each what most likely happened to it.

An ID is rescued step by step: blanks around it, its case, an ending of a spreadsheet, leading zeros, signs between. One
that still has no equal is compared with its near neighbours: one wrong character, or two that changed places. Nothing is
guessed: where two known IDs would fit, both are left alone.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import duckdb

from rowmill.contracts import Finding, Rules
from rowmill.errors import InputError
from rowmill.tabular import load
from rowmill.tabular.inspect import open_table
from rowmill.tabular.load import quote_text
from rowmill.tabular.reading import DEFAULT_LIMITS, Limits, Reading
from rowmill.tabular.unfinished import whole_or_not
from rowmill.tabular.wording import WORDING

NEAR_IDS = 20_000
NEAR_LENGTHS = (4, 40)
# Each step works on what the one before it gives; an ID that finds its equal is done.
_STEPS = (
    (
        "spaces",
        "regexp_replace({id}, '^[\\s\\x{00a0}\\x{200b}\\x{feff}]+|[\\s\\x{00a0}\\x{200b}\\x{feff}]+$', '', 'g')",
    ),
    ("case", "upper({id})"),
    ("decimal", "regexp_replace({id}, '^(\\d+)[.,]0+$', '\\1')"),
    (
        "leading-zeros",
        "CASE WHEN regexp_full_match({id}, '\\d+') THEN coalesce(nullif(ltrim({id}, '0'), ''), '0') ELSE {id} END",
    ),
    ("signs", "regexp_replace({id}, '[^\\pL\\pN]', '', 'g')"),
)
WORDS = {
    "spaces": "match when blanks around the ID are removed",
    "case": "match in another case",
    "decimal": "match without the .0 that a spreadsheet adds",
    "leading-zeros": "match when leading zeros are restored",
    "signs": "match when dashes, dots and blanks inside are left out",
    "swapped": "are one pair of transposed characters away from a known ID",
    "near": "are one wrong character away from a known ID",
    "several": "fit more than one known ID, so none is proposed",
    "absent": "are truly absent",
}
_SINGULAR = {"match": "matches", "are": "is", "fit": "fits"}


@dataclass(frozen=True, slots=True)
class UnknownId:
    """An ID that is not known: it is patient data, for the eyes of who may see the file. `known` is its likely original.

    Units: `rows` that have it; `row` and `line` of the first, 1-based.
    """

    id: str
    rows: int
    row: int
    line: int
    cause: str
    known: str | None


@dataclass(frozen=True, slots=True)
class IdAccount:
    """The IDs of a table against the known ones. Shape: each number counts distinct IDs, `..._rows` count rows.

    `causes` counts the unknown IDs by cause; they add up to `unknown`. `near_searched` is False where there were so many
    that their near neighbours were looked for among the first NEAR_IDS only.
    """

    ids: int
    known: int
    unknown: int
    unknown_rows: int
    blank_rows: int
    causes: dict[str, int]
    column: int
    column_name: str
    unknown_ids: tuple[UnknownId, ...]
    near_searched: bool = True

    @property
    def balances(self) -> bool:
        """Tell whether every unknown ID has exactly one cause."""
        return sum(self.causes.values()) == self.unknown

    def describe(self) -> str:
        """Say it in sentences, most frequent cause first, without any ID."""
        if not self.unknown:
            return "The one ID is known." if self.ids == 1 else f"All {self.ids:,} IDs are known."
        told = sorted(self.causes.items(), key=lambda cause: (cause[0] == "absent", -cause[1]))
        return f"{self._message()[:-1]}: {', '.join(say_cause(cause, count) for cause, count in told)}."

    def finding(self) -> Finding:
        """Give the finding of a table with unknown IDs, at the first of them. It holds no ID."""
        first, wording = self.unknown_ids[0], WORDING["unknown-id"]
        return Finding(
            code="unknown-id",
            severity=wording.severity,
            message=self._message(),
            line=first.line,
            row=first.row,
            column=self.column,
            column_name=self.column_name,
            mend=wording.mend,
            count=self.unknown_rows,
        )

    def _message(self) -> str:
        """Give the agreed sentence."""
        noun = "patient ID" if self.unknown == 1 else "patient IDs"
        return WORDING["unknown-id"].message.format(unknown=f"{self.unknown:,} {noun}")


def say_cause(cause: str, count: int) -> str:
    """Say how many IDs have a cause: "87 match when leading zeros are restored", "1 is truly absent"."""
    verb, _, rest = WORDS[cause].partition(" ")
    return f"{count:,} {_SINGULAR[verb] if count == 1 else verb} {rest}"


def compare_ids(
    table: Path,
    known: Path,
    column: str = "",
    known_column: str = "",
    *,
    sheet: str | None = None,
    limit: int = 1000,
    limits: Limits = DEFAULT_LIMITS,
) -> IdAccount:
    """Compare the IDs of a table with those of another one. Both must be sound.

    `column`: the table's column of IDs, else the one named as that of the known ones; `known_column`: else the first one.
    `limit`: so many unknown IDs are given one by one, in file order.
    Raises: InputError unsound, no_column. Cost: bounded memory; a join of the distinct IDs.
    """
    temp = Path(tempfile.mkdtemp(prefix="rowmill-ids-"))
    try:
        with _open(known, temp / "known", limits) as reading:
            place, known_name = _find_column(reading, known_column, first=True)
            extract_ids(reading, place, temp / "known")
        with _open(table, temp / "ids", limits, sheet) as reading:
            place, name = _find_column(reading, column or known_name, first=False)
            extract_ids(reading, place, temp / "ids")
            with joining(temp / "ids", temp / "known", temp, limits) as con:
                return Comparison(con).account(reading, limit, place, name)
    finally:
        shutil.rmtree(temp, ignore_errors=True)


@contextmanager
def _open(path: Path, target: Path, limits: Limits, sheet: str | None = None) -> Iterator[Reading]:
    """Judge a file, and keep the loader open. Raises: InputError unsound."""
    with open_table(path, Rules(sheet=sheet), table_out=target, limits=limits) as reading:
        if reading.inspection.verdict != "sound" or reading.rows_sql is None:
            raise InputError(
                f"{path.name} is not sound, so its IDs cannot be told. Check it by itself.", code="unsound"
            )
        yield reading


def _find_column(reading: Reading, name: str, *, first: bool) -> tuple[int, str]:
    """Give the place, 1-based, and the name of the column of IDs. Raises: InputError no_column."""
    header = reading.inspection.header
    folded = [cell.strip().casefold() for cell in header]
    if name.strip().casefold() in folded:
        place = folded.index(name.strip().casefold())
    elif first and not name:
        place = 0
    else:
        raise InputError(
            f"There is no column {name!r}. The columns are: {', '.join(header)}.", code="no_column", field="column"
        )
    return place + 1, header[place]


def extract_ids(reading: Reading, place: int, target: Path, *, places: bool = True) -> int:
    """Write the distinct IDs of a column (1-based), how often and where each comes first. Gives how many.

    Not `places`: the IDs alone, which is all that an anti-join needs; where the loader has gathered them they cost next to
    nothing.
    `target`, or `unfinished_name` of it, is what the loader may write: a name in its folder for temporary files, or the
    `table_out` that the table was opened with.
    """
    assert reading.con is not None
    sql = f"SELECT DISTINCT c{place} AS id FROM {reading.rows_sql}"
    if reading.ids_of == place:
        sql = f"SELECT id FROM {load.DISTINCT_IDS}"
    if places:
        rows = f"(SELECT row_number() OVER () AS n, * FROM {reading.rows_sql})"
        sql = f"SELECT c{place} AS id, count(*) AS times, min(n) AS row FROM {rows} GROUP BY 1"
    with whole_or_not(target) as unfinished:
        copied = reading.con.execute(f"COPY ({sql}) TO {quote_text(str(unfinished))} (FORMAT parquet)").fetchall()
    return int(copied[0][0])


@contextmanager
def joining(ids: Path, known: Path, temp: Path, limits: Limits) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open a DuckDB that may read what was extracted, and nothing else."""
    con = load.connect([ids, known], temp, limits.memory_bytes, limits.threads)
    try:
        for name, path in (("ids", ids), ("known", known)):
            blank = load.BLANK.replace("{column}", "id")
            con.execute(f"CREATE TEMP VIEW all_{name} AS SELECT * FROM read_parquet({quote_text(str(path))})")
            con.execute(f"CREATE TEMP VIEW {name} AS SELECT * FROM all_{name} WHERE NOT ({blank})")
        yield con
    finally:
        con.close()


def has_unknown(con: duckdb.DuckDBPyConnection) -> bool:
    """Tell whether an ID of the `joining` is not known. Cost: one anti-join, 0.5 s for 2 million known IDs."""
    return bool(con.execute("SELECT 1 FROM ids ANTI JOIN known USING (id) LIMIT 1").fetchall())


class Comparison:
    """One comparison, over the views `ids` and `known`."""

    def __init__(self, con: duckdb.DuckDBPyConnection) -> None:
        self.con = con

    def account(self, reading: Reading, limit: int, column: int, column_name: str) -> IdAccount:
        """Sort every unknown ID into one cause."""
        self.con.execute(
            "CREATE TEMP TABLE open AS SELECT id, times, row, id AS form FROM ids ANTI JOIN known USING (id)"
        )
        self.con.execute(
            "CREATE TEMP TABLE settled (id VARCHAR, times BIGINT, row BIGINT, cause VARCHAR, known VARCHAR)"
        )
        unknown, unknown_rows = self._one("SELECT count(*), coalesce(sum(times), 0) FROM open")
        near_searched = self._sort_out() if unknown else True
        return IdAccount(
            ids=self._one("SELECT count(*) FROM ids")[0],
            known=self._one("SELECT count(*) FROM known")[0],
            unknown=unknown,
            unknown_rows=unknown_rows,
            blank_rows=self._one("SELECT coalesce(sum(times), 0) FROM all_ids")[0]
            - self._one("SELECT coalesce(sum(times), 0) FROM ids")[0],
            causes=dict(
                self.con.execute("SELECT cause, count(*) FROM settled GROUP BY 1 ORDER BY 2 DESC, 1").fetchall()
            ),
            column=column,
            column_name=column_name,
            unknown_ids=tuple(self._list(reading, max(1, limit))),
            near_searched=near_searched,
        )

    def _sort_out(self) -> bool:
        """Settle the open IDs, step by step. Tells whether the near neighbours of all of them were looked for."""
        self.con.execute("CREATE TEMP TABLE forms AS SELECT id AS known, id AS form FROM known")
        for cause, change in _STEPS:
            form = change.replace("{id}", "form")
            self.con.execute(f"UPDATE open SET form = {form}")
            self.con.execute(f"UPDATE forms SET form = {form}")
            self._settle(f"SELECT o.id, f.known, {quote_text(cause)} AS cause FROM open o JOIN forms f USING (form)")
            if not self._one("SELECT count(*) FROM open")[0]:
                return True
        searched = self._one("SELECT count(*) FROM open")[0] <= NEAR_IDS
        self._settle(_NEAR)
        self.con.execute("INSERT INTO settled SELECT id, times, row, 'absent', NULL FROM open")
        return bool(searched)

    def _settle(self, found: str) -> None:
        """Move the IDs that a query finds equals for; where it finds several known ones, none is taken."""
        self.con.execute(
            f"CREATE OR REPLACE TEMP TABLE found AS SELECT id, count(DISTINCT known) AS fits, min(known) AS known, "
            f"min(cause) AS cause FROM ({found}) GROUP BY id"
        )
        self.con.execute(
            "INSERT INTO settled SELECT id, times, row, CASE WHEN fits = 1 THEN cause ELSE 'several' END, "
            "CASE WHEN fits = 1 THEN found.known END FROM found JOIN open USING (id)"
        )
        self.con.execute("DELETE FROM open WHERE id IN (SELECT id FROM found)")

    def _list(self, reading: Reading, limit: int) -> Iterator[UnknownId]:
        """Give the first unknown IDs, by their first row."""
        assert reading.ledger is not None
        rows = self.con.execute(
            f"SELECT id, times, row, cause, known FROM settled ORDER BY row LIMIT {int(limit)}"
        ).fetchall()
        lines = reading.ledger.places([row for _, _, row, _, _ in rows]) if rows else []
        for (name, times, row, cause, known), (line, _) in zip(rows, lines, strict=True):
            yield UnknownId(name, times, row, line, cause, known)

    def _one(self, sql: str) -> tuple[int, ...]:
        """Give the one row of a query over counts."""
        found = self.con.execute(sql).fetchall()[0]
        return tuple(int(number) for number in found)


# Every string that is one character, or one swap, away from an open ID: about ten for each character of it. A digit is
# taken for another digit, a letter for another letter.
_NEAR = f"""
    WITH near AS (
        SELECT id, form FROM open WHERE length(form) BETWEEN {NEAR_LENGTHS[0]} AND {NEAR_LENGTHS[1]} ORDER BY row LIMIT {NEAR_IDS}
    ), placed AS (SELECT id, form, unnest(range(1, length(form) + 1)) AS spot FROM near),
    places AS (SELECT *, substr(form, spot, 1) AS sign FROM placed),
    changed AS (
        SELECT id, 'near' AS cause, left(form, spot - 1) || other || substr(form, spot + 1) AS form FROM (
            SELECT *, unnest(string_split(CASE WHEN sign BETWEEN '0' AND '9' THEN '0123456789'
                WHEN sign BETWEEN 'A' AND 'Z' THEN 'ABCDEFGHIJKLMNOPQRSTUVWXYZ' ELSE '' END, '')) AS other FROM places
        ) WHERE other <> sign AND other <> ''
        UNION ALL
        SELECT id, 'swapped', left(form, spot - 1) || substr(form, spot + 1, 1) || sign || substr(form, spot + 2) FROM places
        WHERE spot < length(form) AND sign <> substr(form, spot + 1, 1)
    )
    SELECT changed.id, forms.known, cause FROM changed JOIN forms USING (form)
"""
