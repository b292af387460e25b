"""In the limited child: checks the IDs of a cohort's table against the known ones, keeps the table for analysis, mends IDs."""

from __future__ import annotations

import csv
import io
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from rowmill.contracts import Rules
from rowmill.tabular.inspect import open_table
from rowmill.tabular.known_ids import Comparison, extract_ids, has_unknown, joining
from rowmill.tabular.load import quote_name, quote_text
from rowmill.tabular.reading import Limits, Reading

Tell = Callable[[dict[str, Any]], None]
ID_COLUMN = "patient_id"


def check_ids(request: Mapping[str, Any], limits: Limits, tell: Tell) -> dict[str, Any]:
    """Judge a table, take its distinct IDs, compare them with the known ones; a table without fault becomes a database.

    `request`: path, rules, known (the IDs of the patient table, "" where this is it), ids_out, database_out ("" where
    neither file is wanted), table (its name in the database), unknown_limit (so many unknown IDs are told).
    Shape: "inspection" (as JSON), then "ids" (how many); where some are unknown "unknown_count", "unknown_rows", "causes",
    "unknown" (each an UnknownId) and "finding". The files are there if and only if the inspection is sound, no row is
    rejected and no ID is unknown. `tell` hears the stage and the counts as soon as they are known.
    """
    with _opened(request, limits) as reading:
        inspection = reading.inspection
        found: dict[str, Any] = {"inspection": inspection.to_json()}
        if inspection.verdict != "sound" or inspection.rejected_rows or reading.rows_sql is None:
            return found
        temp = _temp(reading)
        tell({"stage": "EXTRACTING", "rows": inspection.row_count})
        found["ids"] = extract_ids(reading, inspection.mapping[ID_COLUMN], temp / "ids", places=False)
        tell({"stage": "VALIDATING", "ids": found["ids"]})
        if request["known"] and (account := _find_unknown(reading, temp, request, limits)) is not None:
            return found | account
        if not request["database_out"]:
            return found
        tell({"stage": "STORING"})
        write_database(reading, temp / "table.duckdb", request["table"])
        shutil.move(temp / "ids", request["ids_out"])
        shutil.move(temp / "table.duckdb", request["database_out"])
        return found


def mend_ids(request: Mapping[str, Any], limits: Limits, tell: Tell) -> dict[str, Any]:
    """Write a copy of a table, as CSV in UTF-8, in which the unknown IDs of the causes given are the known ones.

    `request`: path, rules, known, causes, out. Shape: how many "ids" and "rows" were mended.
    """
    with _opened(request, limits) as reading:
        temp, place = _temp(reading), reading.inspection.mapping[ID_COLUMN]
        extract_ids(reading, place, temp / "ids")
        with joining(temp / "ids", Path(request["known"]), temp, limits) as con:
            Comparison(con).account(reading, 1, place, "")
            chosen = ", ".join(quote_text(cause) for cause in request["causes"]) or "NULL"
            con.execute(
                f"COPY (SELECT id, known, times FROM settled WHERE known IS NOT NULL AND cause IN ({chosen})) "
                f"TO {quote_text(str(temp / 'mended'))} (FORMAT parquet)"
            )
        assert reading.con is not None
        mended = f"read_parquet({quote_text(str(temp / 'mended'))})"
        counts = reading.con.execute(f"SELECT count(*), coalesce(sum(times), 0)::BIGINT FROM {mended}").fetchall()[0]
        _write_mended(reading, place, mended, temp / "rows.csv", Path(request["out"]))
        return {"ids": counts[0], "rows": counts[1]}


@contextmanager
def _opened(request: Mapping[str, Any], limits: Limits) -> Iterator[Reading]:
    """Judge the file of a request and keep the loader open."""
    rules = replace(Rules.from_json(request["rules"]), id_column=ID_COLUMN)
    with open_table(Path(request["path"]), rules, limits=limits) as reading:
        yield reading


def _temp(reading: Reading) -> Path:
    """Give the one folder in which the loader may write."""
    assert reading.con is not None
    return Path(reading.con.execute("SELECT current_setting('temp_directory')").fetchall()[0][0])


def _find_unknown(reading: Reading, temp: Path, request: Mapping[str, Any], limits: Limits) -> dict[str, Any] | None:
    """Tell which IDs are not known, where each is and what became of it; None where all are known."""
    known = Path(request["known"])
    with joining(temp / "ids", known, temp, limits) as con:
        if not has_unknown(con):
            return None
    place = reading.inspection.mapping[ID_COLUMN]
    extract_ids(reading, place, temp / "placed")
    with joining(temp / "placed", known, temp, limits) as con:
        account = Comparison(con).account(
            reading, request["unknown_limit"], place, reading.inspection.header[place - 1]
        )
    return {
        "unknown_count": account.unknown,
        "unknown_rows": account.unknown_rows,
        "causes": account.causes,
        "unknown": [asdict(one) for one in account.unknown_ids],
        "finding": asdict(account.finding()),
    }


def write_database(reading: Reading, target: Path, table: str) -> None:
    """Write the table into a new DuckDB file: `row_number`, then the file's columns, every cell as it was written.

    `target` lies in the folder in which the loader may write. What is there of an earlier try is replaced.
    """
    assert reading.con is not None
    target.unlink(missing_ok=True)
    names = name_columns(reading.inspection.header)
    cells = ", ".join(f"c{place} AS {quote_name(name)}" for place, name in enumerate(names, 1))
    reading.con.execute(f"ATTACH {quote_text(str(target))} AS kept")
    reading.con.execute(
        f"CREATE TABLE kept.{quote_name(table)} AS SELECT row_number() OVER () AS row_number, {cells} FROM {reading.rows_sql}"
    )
    reading.con.execute("DETACH kept")


def name_columns(header: Sequence[str]) -> list[str]:
    """Give each column a name of its own, which DuckDB compares without case; `row_number` is taken."""
    taken, names = {"row_number"}, []
    for place, cell in enumerate(header, 1):
        name = stem = cell.strip() or f"column_{place}"
        again = 2
        while name.casefold() in taken:
            name, again = f"{stem}_{again}", again + 1
        taken.add(name.casefold())
        names.append(name)
    return names


def _write_mended(reading: Reading, place: int, mended: str, rows: Path, out: Path) -> None:
    """Write the header as it was, then every row in its order, the IDs mended."""
    assert reading.con is not None
    columns = range(1, len(reading.inspection.header) + 1)
    cells = ", ".join(f"coalesce(known, c{n}) AS c{n}" if n == place else f"c{n}" for n in columns)
    numbered = f"(SELECT row_number() OVER () AS n, * FROM {reading.rows_sql})"
    reading.con.execute(
        f"COPY (SELECT {cells} FROM {numbered} LEFT JOIN {mended} ON id = c{place} ORDER BY n) "
        f"TO {quote_text(str(rows))} (FORMAT csv, HEADER false)"
    )
    with out.open("wb") as file, rows.open("rb") as written:
        file.write(_header_line(reading.inspection.header))
        shutil.copyfileobj(written, file, 1 << 20)
    rows.unlink()


def _header_line(header: Sequence[str]) -> bytes:
    """Give the header as a line of CSV."""
    line = io.StringIO(newline="")
    csv.writer(line, lineterminator="\n").writerow(header)
    return line.getvalue().encode()
