"""The first half of a merge: which rows of the whole file are about the same thing, so that each batch can go by itself."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb

from rowmill.errors import TooMuch
from rowmill.merging.reader import Reader
from rowmill.tabular.load import quote_name, quote_text

DUPLICATE, AMBIGUOUS, SHARED, JOINED = "duplicate", "ambiguous", "shared", "joined"
JOINED_CELLS, JOINED_BYTES = 250_000, 16_000_000
_lock = threading.Lock()

# Which of the rows about one thing stands for all of them.
_WINNER = {"update": "n DESC", "blanks": "n", "skip": "n", "newest": "t DESC NULLS LAST, n DESC"}


@dataclass(frozen=True, slots=True)
class Groups:
    """Two files in scratch. `special`: rows that are not merged as they stand (n, code, winner); `joined`: the rows that
    stand for several, with the values of all of them, typed."""

    special: Path
    joined: Path


def find_groups(reader: Reader, folder: Path, name: str, con: duckdb.DuckDBPyConnection) -> Groups:
    """Compare all rows of the file by their keys, once for this machine. Again: gives what is there.

    Cost: reads the key columns of the whole copy; memory as DuckDB is allowed, the rest goes to disk.
    """
    with _lock:
        return _find(reader, folder, name, con)


def find_groups_unless_busy(reader: Reader, folder: Path, name: str, con: duckdb.DuckDBPyConnection) -> Groups | None:
    """Do as `find_groups`, but give None while another thread of this process is at it."""
    if not _lock.acquire(blocking=False):
        return None
    try:
        return _find(reader, folder, name, con)
    finally:
        _lock.release()


def _find(reader: Reader, folder: Path, name: str, con: duckdb.DuckDBPyConnection) -> Groups:
    groups = Groups(folder / f"{name}-special.parquet", folder / f"{name}-joined.parquet")
    if not (groups.special.exists() and groups.joined.exists()):
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        try:
            _compare(reader, groups, con)
        except duckdb.OutOfMemoryException as error:
            raise TooMuch from error
        finally:
            _drop_tables(con)
    return groups


def drop_groups(folder: Path, name: str) -> None:
    """Remove what `find_groups` wrote. Again: yes."""
    for kind in ("special", "joined"):
        (folder / f"{name}-{kind}.parquet").unlink(missing_ok=True)


def _compare(reader: Reader, groups: Groups, con: duckdb.DuckDBPyConnection) -> None:
    """Work both files out."""
    two = len(reader.plan.target.keys) > 1
    second = reader.key_of(1) if two else "''"
    letters = [letter for letter, _ in reader.plan.target.keys] + [""]
    rows = reader.trimmed(reader.rows("true", reader.key_places()), reader.key_places())
    newest = reader.newest() if reader.plan.policy == "newest" else "NULL"
    con.execute(
        f"CREATE OR REPLACE TEMP TABLE keyed AS SELECT row_number AS n, {reader.key_of(0)} AS a, {second} AS b, "
        f"{newest} AS t FROM ({rows}) WHERE problem IS NULL"
    )
    # Nearly all keys stand once, and numbers need little room: those that may stand twice are found by their hash.
    con.execute(
        "CREATE OR REPLACE TEMP TABLE twice AS SELECT n, a, b FROM keyed WHERE b <> '' AND hash(b) IN "
        "(SELECT hash(b) FROM keyed WHERE b <> '' GROUP BY 1 HAVING count(*) > 1)"
    )
    # Of rows that have the second key alone: which first key has it too, and how many have it.
    con.execute(
        "CREATE OR REPLACE TEMP TABLE linked AS SELECT b, min(a) AS a, count(DISTINCT a) AS many, min(n) AS first "
        "FROM twice WHERE a <> '' GROUP BY b HAVING count(DISTINCT a) > 1 "
        "OR b IN (SELECT b FROM twice WHERE a = '')"
    )
    con.execute(
        "CREATE OR REPLACE TEMP VIEW named AS SELECT n, t, CASE "
        f"WHEN keyed.a <> '' THEN '{letters[0]}:' || keyed.a WHEN many = 1 THEN '{letters[0]}:' || linked.a "
        f"WHEN many > 1 THEN NULL ELSE '{letters[1]}:' || keyed.b END AS key, "
        "many > 1 AND keyed.a = '' AS ambiguous, many > 1 AND keyed.a <> '' AS shared "
        "FROM keyed LEFT JOIN linked USING (b)"
    )
    order = _WINNER[reader.plan.policy]
    con.execute(
        "CREATE OR REPLACE TEMP TABLE maybe AS SELECT * FROM named WHERE key IS NOT NULL AND hash(key) IN "
        "(SELECT hash(key) FROM named WHERE key IS NOT NULL GROUP BY 1 HAVING count(*) > 1)"
    )
    con.execute(
        "CREATE OR REPLACE TEMP TABLE members AS SELECT n, key, shared, first_value(n) OVER "
        f"(PARTITION BY key ORDER BY {order}) AS winner FROM maybe "
        "WHERE key IN (SELECT key FROM maybe GROUP BY key HAVING count(*) > 1)"
    )
    _write(con, groups.special, _special())
    _drop_tables(con, keep=("members",))
    _join_members(reader, groups, con)


def _drop_tables(con: duckdb.DuckDBPyConnection, keep: tuple[str, ...] = ()) -> None:
    """Free the memory of what is not needed any more."""
    con.execute("DROP VIEW IF EXISTS named")
    for table in ("keyed", "twice", "linked", "maybe", "raw", "joined", "members"):
        if table not in keep:
            con.execute(f"DROP TABLE IF EXISTS {table}")


def _special() -> str:
    """Give the rows that are not merged as they stand."""
    return (
        f"SELECT n, '{DUPLICATE}' AS code, winner FROM members WHERE n <> winner "
        f"UNION ALL SELECT n, '{JOINED}', n FROM members WHERE n = winner "
        f"UNION ALL SELECT n, '{AMBIGUOUS}', NULL FROM named WHERE ambiguous "
        f"UNION ALL SELECT n, '{SHARED}', NULL FROM named WHERE shared AND n NOT IN (SELECT n FROM members)"
    )


def _join_members(reader: Reader, groups: Groups, con: duckdb.DuckDBPyConnection) -> None:
    """Write one row for each thing that several rows are about, a few thousand at a time: values of all take much memory."""
    sizes = con.execute("SELECT winner, count(*) FROM members GROUP BY winner ORDER BY winner").fetchall()
    con.execute("CREATE OR REPLACE TEMP TABLE joined AS SELECT 0 AS row_number WHERE false")
    if sizes:
        rows = reader.rows("true", reader.needed_places())
        con.execute(
            f"CREATE OR REPLACE TEMP TABLE raw AS SELECT written.*, {reader.edged(reader.needed_places())} AS edged, winner "
            f"FROM ({rows}) AS written JOIN members ON n = row_number"
        )
        edged = bool(con.execute("SELECT 1 FROM raw WHERE edged LIMIT 1").fetchall())
        into = "CREATE OR REPLACE TEMP TABLE joined AS"
        for winners in _stretches(sizes, _rows_at_once(reader, con)):
            _join_what_fits(reader, con, winners, into, edged=edged)
            into = "INSERT INTO joined"
    _write(con, groups.joined, "FROM joined")


def _rows_at_once(reader: Reader, con: duckdb.DuckDBPyConnection) -> int:
    """Give how many rows are joined at a time."""
    cells = ", ".join(f"c{place}" for place in reader.needed_places())
    row_bytes: int = con.execute(f"SELECT coalesce(avg(strlen(concat({cells}))), 0)::BIGINT FROM raw").fetchall()[0][0]
    return min(JOINED_CELLS // len(reader.source.header), JOINED_BYTES // max(1, row_bytes))


def _join_what_fits(
    reader: Reader, con: duckdb.DuckDBPyConnection, winners: Sequence[int], into: str, *, edged: bool
) -> None:
    """Join the rows of some winners, half by half where all of them take more memory than there is.

    `edged`: some cell has a blank at an end.
    """
    try:
        con.execute(f"{into} {_joined(reader, winners[0], winners[-1], edged=edged)}")
    except duckdb.OutOfMemoryException:
        if len(winners) == 1:
            raise
        middle = len(winners) // 2
        _join_what_fits(reader, con, winners[:middle], into, edged=edged)
        _join_what_fits(reader, con, winners[middle:], "INSERT INTO joined", edged=edged)


def _stretches(sizes: list[tuple[int, int]], wanted: int) -> Iterator[list[int]]:
    """Part winners, in their order and each with its number of rows, such that no part has many more rows than wanted."""
    winners: list[int] = []
    rows = 0
    for winner, size in sizes:
        winners.append(winner)
        rows += size
        if rows >= wanted:
            yield winners
            winners, rows = [], 0
    if winners:
        yield winners


def _joined(reader: Reader, first: int, last: int, *, edged: bool) -> str:
    """Give one row for each thing of which the standing row is first..last."""
    rows = f"SELECT * FROM raw WHERE winner BETWEEN {first} AND {last}"
    typed = reader.typed(reader.cut(rows, reader.needed_places()) if edged else rows)
    columns = ", ".join(f"{_join(reader, name)} AS {quote_name(name)}" for name in reader.plan.columns)
    return (
        "SELECT any_value(winner) AS row_number, any_value(line_number) FILTER (n = winner) AS line_number, "
        "key AS match_key, NOT bool_or(shared) AS adopts"
        f"{', ' + columns if columns else ''} FROM ({typed}) AS typed JOIN members ON n = row_number GROUP BY key"
    )


def _join(reader: Reader, name: str) -> str:
    """Say which of several values stands: as if the rows had been merged one after the other."""
    column, policy = quote_name(name), reader.plan.policy
    target = reader.plan.target
    if name == target.keys[0][1]:
        return f"max({column})"  # it is the same in all rows that have it
    if policy in ("skip", "newest"):
        return f"any_value({column}) FILTER (n = winner)"
    last = policy == "update"
    if name in target.objects:
        order = "" if last else " DESC"
        return (
            f"list_reduce(list({column} ORDER BY n{order}) FILTER ({column} IS NOT NULL), "
            "lambda x, y: json_merge_patch(x::JSON, y::JSON)::VARCHAR)"
        )
    field = target.find_field(name)
    if field is not None and reader.followed(field):
        leader = quote_name(field.follows)
        return f"arg_{'max' if last else 'min'}_null({column}, n) FILTER ({leader} IS NOT NULL)"
    return f"arg_{'max' if last else 'min'}({column}, n)"


def _write(con: duckdb.DuckDBPyConnection, path: Path, query: str) -> None:
    """Write a file such that it is seen whole or not at all."""
    unfinished = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        con.execute(f"COPY ({query}) TO {quote_text(str(unfinished))} (FORMAT parquet, ROW_GROUP_SIZE_BYTES '16MB')")
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
