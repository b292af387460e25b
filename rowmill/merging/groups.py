"""The first half of a merge: which rows of the whole file are about the same thing, so that each batch can go by itself."""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import structlog

from rowmill.errors import ChildError, TooMuch
from rowmill.merging.comparing import compare, drop_tables
from rowmill.merging.reader import Reader
from rowmill.tabular.child import run_in_child
from rowmill.tabular.load import quote_name, quote_text

log = structlog.get_logger("rowmill.merging")
DUPLICATE, AMBIGUOUS, SHARED, JOINED = "duplicate", "ambiguous", "shared", "joined"
LARGE_ROWS = 50_000
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
        told = _tell_comparison(reader)
        if not (_is_large(reader, con) and _compared_apart(told, groups)):
            _compare_here(told, groups, con)
    return groups


def _is_large(reader: Reader, con: duckdb.DuckDBPyConnection) -> bool:
    """Tell whether comparing would leave this process with memory that it never gives back."""
    sql = f"SELECT num_rows FROM parquet_file_metadata({quote_text(str(reader.source.path))})"
    return bool(con.execute(sql).fetchall()[0][0] > LARGE_ROWS)


def _compared_apart(told: dict[str, Any], groups: Groups) -> bool:
    """Compare in a child, whose memory goes with it. Gives whether it could."""
    request = told | {"special_to": str(groups.special.resolve()), "joined_to": str(groups.joined.resolve())}
    try:
        run_in_child("compare", request, beside=groups.special.parent)
    except ChildError as error:
        log.warning("comparison died", error_type=type(error).__name__)
        return False
    return True


def _compare_here(told: dict[str, Any], groups: Groups, con: duckdb.DuckDBPyConnection) -> None:
    """Compare in this process, such that a file is seen whole or not at all. Raises: TooMuch."""
    unfinished = [path.with_name(f"{path.name}.{os.getpid()}") for path in (groups.special, groups.joined)]
    try:
        compare(con, told, *unfinished)
        unfinished[1].replace(groups.joined)
        unfinished[0].replace(groups.special)
    except duckdb.OutOfMemoryException as error:
        raise TooMuch from error
    finally:
        drop_tables(con)
        for path in unfinished:
            path.unlink(missing_ok=True)


def drop_groups(folder: Path, name: str) -> None:
    """Remove what `find_groups` wrote. Again: yes."""
    for kind in ("special", "joined"):
        (folder / f"{name}-{kind}.parquet").unlink(missing_ok=True)


def _tell_comparison(reader: Reader) -> dict[str, Any]:
    """Write the statements of a comparison, as `compare` takes them."""
    order = _WINNER[reader.plan.policy]
    members = (
        "CREATE OR REPLACE TEMP TABLE members AS SELECT n, key, shared, first_value(n) OVER "
        f"(PARTITION BY key ORDER BY {order}) AS winner FROM maybe "
        "WHERE key IN (SELECT key FROM maybe GROUP BY key HAVING count(*) > 1)"
    )
    places = reader.needed_places()
    rows, edged = reader.merged_rows("true", "row_number IN (SELECT n FROM members)"), reader.edged(places)
    return {
        "begin": [*_suspects(reader), *_named(reader), members],
        "special": _special(),
        "raw": f"SELECT written.*, {edged} AS edged, winner FROM ({rows}) AS written JOIN members ON n = row_number",
        "joined": _joined(reader, "SELECT * FROM part"),
        "joined_cut": _joined(reader, reader.cut("SELECT * FROM part", places)),
        "row_bytes": f"strlen(concat({', '.join(f'c{place}' for place in places)}))",
        "columns": len(reader.source.header),
    }


def _second(reader: Reader) -> str:
    """Give the cleaned cell of the second key, '' where there is none."""
    return reader.key_of(1) if len(reader.plan.target.keys) > 1 else "''"


def _suspects(reader: Reader) -> list[str]:
    """Find the rows of which a key may stand twice. Nearly all keys stand once, and a hash needs little room."""
    keys = {"a": reader.key_of(0), "b": _second(reader)}
    told = ", ".join(f"CASE WHEN {key} <> '' THEN hash({key}) END AS {name}" for name, key in keys.items())
    many = "{0} IN (SELECT {0} FROM hashes WHERE {0} IS NOT NULL GROUP BY 1 HAVING count(*) > 1)"
    return [
        f"CREATE OR REPLACE TEMP TABLE hashes AS SELECT row_number AS n, {told} "
        f"FROM ({_key_rows(reader, 'true')}) WHERE problem IS NULL",
        f"CREATE OR REPLACE TEMP TABLE suspects AS SELECT n FROM hashes WHERE {many.format('a')} OR {many.format('b')}",
        "DROP TABLE hashes",
    ]


def _named(reader: Reader) -> list[str]:
    """Give what each suspect is about: the tables `keyed`, `twice`, `linked` and `maybe`, the view `named`."""
    newest = reader.newest() if reader.plan.policy == "newest" else "NULL"
    letters = [letter for letter, _ in reader.plan.target.keys] + [""]
    rows = _key_rows(reader, "row_number IN (SELECT n FROM suspects)")
    return [
        f"CREATE OR REPLACE TEMP TABLE keyed AS SELECT row_number AS n, {reader.key_of(0)} AS a, {_second(reader)} AS b, "
        f"{newest} AS t FROM ({rows}) WHERE problem IS NULL",
        "CREATE OR REPLACE TEMP TABLE twice AS SELECT n, a, b FROM keyed WHERE b <> ''",
        # Of rows that have the second key alone: which first key has it too, and how many have it.
        "CREATE OR REPLACE TEMP TABLE linked AS SELECT b, min(a) AS a, count(DISTINCT a) AS many, min(n) AS first "
        "FROM twice WHERE a <> '' GROUP BY b HAVING count(DISTINCT a) > 1 "
        "OR b IN (SELECT b FROM twice WHERE a = '')",
        "CREATE OR REPLACE TEMP VIEW named AS SELECT n, t, CASE "
        f"WHEN keyed.a <> '' THEN '{letters[0]}:' || keyed.a WHEN many = 1 THEN '{letters[0]}:' || linked.a "
        f"WHEN many > 1 THEN NULL ELSE '{letters[1]}:' || keyed.b END AS key, "
        "many > 1 AND keyed.a = '' AS ambiguous, many > 1 AND keyed.a <> '' AS shared "
        "FROM keyed LEFT JOIN linked USING (b)",
        "CREATE OR REPLACE TEMP TABLE maybe AS SELECT * FROM named WHERE key IS NOT NULL AND hash(key) IN "
        "(SELECT hash(key) FROM named WHERE key IS NOT NULL GROUP BY 1 HAVING count(*) > 1)",
    ]


def _key_rows(reader: Reader, where: str) -> str:
    """Write the query for the keys of rows, without the blanks at their ends."""
    return reader.trimmed(reader.rows(where, reader.key_places()), reader.key_places())


def _special() -> str:
    """Give the rows that are not merged as they stand."""
    return (
        f"SELECT n, '{DUPLICATE}' AS code, winner FROM members WHERE n <> winner "
        f"UNION ALL SELECT n, '{JOINED}', n FROM members WHERE n = winner "
        f"UNION ALL SELECT n, '{AMBIGUOUS}', NULL FROM named WHERE ambiguous "
        f"UNION ALL SELECT n, '{SHARED}', NULL FROM named WHERE shared AND n NOT IN (SELECT n FROM members)"
    )


def _joined(reader: Reader, rows: str) -> str:
    """Give one row for each thing that rows are about."""
    typed = reader.typed(rows)
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
