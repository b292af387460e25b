"""The rows that the checks find bad, listed once while the rows are read: by number, and which conditions each meets."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

import duckdb
import numpy as np
import numpy.typing as npt

from rowmill.tabular import load
from rowmill.tabular.load import Bad

MOST_AT_ONCE = 250_000
_BITS = 32
# What DuckDB makes a join of, or a window.
_JOINED = re.compile(r"\b(?:SELECT|FROM|OVER)\b|\bIN\s*\((?:[^,()]*,){3}", re.I)
_CELL = re.compile(r"\bc\d+\b")


@dataclass(slots=True)
class BadRows:
    """Lists of bad rows in the loader's temporary tables: one for each set of conditions that was looked for at once."""

    con: duckdb.DuckDBPyConnection
    _tables: list[Sequence[Bad]] = field(default_factory=list)

    def begin(self, bad: Sequence[Bad]) -> int:
        """Begin a list for some conditions; gives its number."""
        self._tables.append(bad)
        number = len(self._tables) - 1
        columns = "".join(f", h{i} BOOLEAN{_cell(one) and f', v{i} VARCHAR'}" for i, one in enumerate(bad))
        self.con.execute(f"CREATE OR REPLACE TEMP TABLE {_name(number)} (n BIGINT{columns})")
        return number

    def clear(self) -> None:
        """Forget all lists: the rows are read anew."""
        self._tables.clear()

    def add(self, number: int, source: str, counts: Sequence[int], before: int = 0) -> None:
        """List the bad rows of a source that `before` rows stand in front of. Cost: one reading of it, where there are any."""
        if not any(counts):
            return
        bad = self._tables[number]
        met = [f"({one.met_by('n')})" if count else "false" for one, count in zip(bad, counts, strict=True)]
        columns = "".join(
            f", {condition} AS h{i}{_cell(one) and f', CASE WHEN h{i} THEN {_cell(one)} END'}"
            for i, (one, condition) in enumerate(zip(bad, met, strict=True))
        )
        any_of = " OR ".join(f"h{i}" for i, count in enumerate(counts) if count)
        # A look-up goes through a join, which keeps no order: the numbers are given before.
        rows = f"(SELECT n + {before} AS n{columns} FROM {load.number_rows(source)})"
        self.con.execute(f"INSERT INTO {_name(number)} SELECT * FROM {rows} WHERE {any_of}")

    def count(
        self, number: int, source: str, looks: Sequence[str], before: int
    ) -> tuple[int, int, list[int], list[int]]:
        """Count the rows of a source as `load.count_rows` does and list the bad ones, in one reading; no check over all rows.

        Cost: memory for MOST_AT_ONCE rows; of a longer source with bad rows one more reading.
        """
        bad = self._tables[number]
        if not bad:
            return load.count_rows(self.con, source, bad, looks=looks)
        flags = [f"h{i}" for i in range(len(bad))]
        rejecting = [flag for flag, one in zip(flags, bad, strict=True) if one.rejects]
        wanted = [f"greatest({', '.join(rejecting)})" if rejecting else "false", *flags, *looks]
        counts = "".join(f", count_if({flag})::BIGINT" for flag in wanted)
        kept = "".join(
            f", h{i}: h{i}{_cell(one) and f', v{i}: CASE WHEN h{i} THEN {_cell(one)} END'}" for i, one in enumerate(bad)
        )
        listed = f"list({{n: n + {before}{kept}}}) FILTER (greatest({', '.join(flags)}) AND n <= {MOST_AT_ONCE})"
        worked_out = ", ".join(f"({one.condition}) AS h{i}" for i, one in enumerate(bad))
        self.con.execute(
            f"CREATE OR REPLACE TEMP TABLE counted AS SELECT {listed} AS bad, count(*){counts} "
            f"FROM (SELECT {worked_out}, * FROM {load.number_rows(source)})"
        )
        found = self.con.execute("SELECT * EXCLUDE (bad) FROM counted").fetchall()[0]
        counted, looked = list(found[2 : 2 + len(bad)]), list(found[2 + len(bad) :])
        if found[0] > MOST_AT_ONCE:
            self.add(number, source, counted, before)
        elif any(counted):
            self.con.execute(f"INSERT INTO {_name(number)} SELECT unnest(bad, recursive := true) FROM counted")
        self.con.execute("DROP TABLE counted")
        return found[0], found[1], counted, looked

    def take(self, number: int, source: str, before: int) -> tuple[int, int, list[int]] | None:
        """Count and list as `count` does, on all cores, without looks: what each row meets is kept until all are read.

        None where it is not sure that the rows came in their order. Cost: memory for all rows of the source, `kept_bytes` each.
        """
        bad = self._tables[number]
        dates = [i for i, one in enumerate(bad) if _cell(one)]
        kept = [
            " | ".join(
                f"CASE WHEN h{i} THEN {_bit(i)} ELSE 0::UINTEGER END" for i in range(at, min(at + _BITS, len(bad)))
            )
            + f" AS m{at // _BITS}"
            for at in range(0, len(bad), _BITS)
        ]
        if dates:
            cells = ", ".join(f"CASE WHEN h{i} THEN {_cell(bad[i])} END" for i in dates)
            kept.append(f"CASE WHEN {' OR '.join(f'h{i}' for i in dates)} THEN [{cells}] END AS v")
        worked_out = ", ".join(f"({one.condition}) AS h{i}" for i, one in enumerate(bad))
        # Rows stay in their order in a table that is made of them; DuckDB numbers them on one core only.
        self.con.execute(
            f"CREATE OR REPLACE TEMP TABLE met AS SELECT {', '.join(kept)} FROM (SELECT {worked_out}, * FROM {source})"
        )
        if not load.kept_order(self.con):
            return None
        words = ", ".join(f"m{at // _BITS}" for at in range(0, len(bad), _BITS))
        flags = [_is_met(i) for i in range(len(bad))]
        rejecting = " OR ".join(flag for flag, one in zip(flags, bad, strict=True) if one.rejects) or "false"
        sums = "".join(f", coalesce(sum(times) FILTER ({flag}), 0)::BIGINT" for flag in (rejecting, *flags))
        found = self.con.execute(
            f"SELECT coalesce(sum(times), 0)::BIGINT{sums} FROM (SELECT {words}, count(*) AS times FROM met GROUP BY {words})"
        ).fetchall()[0]
        if any(found[2:]):
            columns = "".join(
                f", {flag}{f', v[{dates.index(i) + 1}]' if i in dates else ''}" for i, flag in enumerate(flags)
            )
            some = " OR ".join(f"{word} <> 0" for word in words.split(", "))
            rows = load.number_rows("met")
            self.con.execute(f"INSERT INTO {_name(number)} SELECT n + {before}{columns} FROM {rows} WHERE {some}")
        self.con.execute("DROP TABLE met")
        return found[0], found[1], list(found[2:])

    def problems(self, labels: Collection[str], rows: int) -> npt.NDArray[np.uint32] | None:
        """Give the code of each row's problems in the table load.TEXTS, 0 for none; None where no row has any.

        Such a text is "label;label" for the conditions that the row meets.
        """
        parts = []
        for number, bad in enumerate(self._tables):
            told = [
                f"CASE WHEN h{i} THEN {load.quote_text(one.label)} END"
                for i, one in enumerate(bad)
                if one.label in labels
            ]
            if told:
                parts.append(f"SELECT n, nullif(concat_ws(';', {', '.join(told)}), '') AS text FROM {_name(number)}")
        if not parts:
            return None
        [listed] = parts  # the conditions that reject rows are those of one list
        self.con.execute(f"CREATE OR REPLACE TEMP TABLE told AS SELECT * FROM ({listed}) WHERE text IS NOT NULL")
        self.con.execute(
            f"CREATE OR REPLACE TEMP TABLE {load.TEXTS} AS "
            "SELECT text, row_number() OVER (ORDER BY text) AS code FROM (SELECT DISTINCT text FROM told)"
        )
        found = self.con.execute(f"SELECT n, code FROM told JOIN {load.TEXTS} USING (text)").fetchnumpy()
        if not len(found["n"]):
            return None
        codes = np.zeros(rows, np.uint32)
        codes[found["n"] - 1] = found["code"]
        return codes

    def first(self, label: str, limit: int) -> list[int]:
        """Give the first rows that meet a condition."""
        for number, bad in enumerate(self._tables):
            for i, one in enumerate(bad):
                if one.label == label:
                    sql = f"SELECT n FROM {_name(number)} WHERE h{i} ORDER BY n LIMIT {limit}"
                    return [row[0] for row in self.con.execute(sql).fetchall()]
        return []

    def dates(self, label: str) -> str | None:
        """Give the SQL of the cells that break a condition on dates: (v, how often: n); None where they are not at hand."""
        for number, bad in enumerate(self._tables):
            for i, one in enumerate(bad):
                if one.label == label and _cell(one):
                    return f"(SELECT v{i} AS v, count(*) AS n FROM {_name(number)} WHERE h{i} GROUP BY v)"
        return None

    def blocks(self, labels: Collection[str], rows: int) -> list[tuple[int, int, int]]:
        """Give for each stretch of `rows` rows with bad ones among them: the first, the last, how many are rejected."""
        parts = []
        for number, bad in enumerate(self._tables):
            told = [(i, one) for i, one in enumerate(bad) if one.label in labels]
            if told:
                met = " OR ".join(f"h{i}" for i, _ in told)
                rejected = " OR ".join(f"h{i}" for i, one in told if one.rejects) or "false"
                parts.append(f"SELECT n, {rejected} AS rejected FROM {_name(number)} WHERE {met}")
        if not parts:
            return []
        sql = "SELECT min(n), max(n), count(DISTINCT n) FILTER (rejected)"
        if len(parts) == 1:
            sql = "SELECT min(n), max(n), count_if(rejected)"
        sql += f" FROM ({' UNION ALL '.join(parts)}) GROUP BY (n - 1) // {rows} ORDER BY 1"
        return self.con.execute(sql).fetchall()


def may_take(bad: Sequence[Bad]) -> bool:
    """Tell whether `BadRows.take` is worth trying for these conditions: none looks beyond its row, or into a long list."""
    return bool(bad) and not any(one.over_all or _JOINED.search(one.condition) for one in bad)


def kept_bytes(bad: Sequence[Bad]) -> int:
    """Give how many bytes `BadRows.take` keeps of a row."""
    return 4 * (len(bad) // _BITS + 1) + 16 * any(_cell(one) for one in bad)


def _bit(condition: int) -> str:
    """Give the number that stands for a condition among those of its word."""
    return f"{1 << condition % _BITS}::UINTEGER"


def _is_met(condition: int) -> str:
    """Give the SQL that tells whether a row meets a condition, by the words that `take` keeps."""
    return f"(m{condition // _BITS} & {_bit(condition)}) <> 0"


def _cell(one: Bad) -> str:
    """Give the cell that a condition on dates looks at, "" for other conditions: these are kept to find their form."""
    cells = set(_CELL.findall(one.condition)) if "date" in one.label and not one.over_all else set()
    return cells.pop() if len(cells) == 1 else ""


def _name(number: int) -> str:
    """Name the table of a list."""
    return load.quote_name(f"bad rows {number}")
