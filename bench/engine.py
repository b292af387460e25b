"""The engine alone: rows a second with a kind that does nothing, against bare inserts and against Django's bulk_create.

Whole job, from a READY upload to COMPLETED, in the embedded runner of one process, on SQLite (WAL, synchronous=FULL).
Both alternatives write the same rows to the same disk under the same pragmas, 500 rows to a transaction.

With --database postgres it does the same on a private Postgres (fsync on, synchronous_commit on) that it starts on that
disk, against bare inserts by psycopg; with --database both it prints the two side by side.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

TRANSACTION_ROWS = 500
PRAGMAS = "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA foreign_keys=ON; PRAGMA cell_size_check=ON;"
BARE_TABLE = """
CREATE TABLE bare_result (
  id integer PRIMARY KEY AUTOINCREMENT, row_number bigint NOT NULL, outcome varchar(10) NOT NULL, code varchar(60) NOT NULL,
  message varchar(300) NOT NULL, answer BLOB NOT NULL, attempts integer NOT NULL, claims bigint NOT NULL,
  written_at datetime NOT NULL, job_id bigint NOT NULL, org_id bigint NOT NULL, UNIQUE (job_id, row_number))
"""
BARE_INSERT = (
    "INSERT INTO bare_result (row_number, outcome, code, message, answer, attempts, claims, written_at, job_id, org_id) "
    "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)


def main() -> None:
    """Run all three, print the table, then the JSON."""
    options = read_options()
    if options.database == "both":
        side_by_side(options)
        return
    if options.database == "sqlite":
        os.environ.pop("DATABASE_URL", None)
        run_all(options)
        return
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
    from tests.servers.postgres import Postgres

    with Postgres(sync=True, base=options.dir) as server:
        os.environ["DATABASE_URL"] = server.new_database()
        run_all(options)


def side_by_side(options: argparse.Namespace) -> None:
    """Run each in a process of its own, since one speaks to one database."""
    told: dict[str, Any] = {}
    for database in ("sqlite", "postgres"):
        again = [a for a in sys.argv[1:] if a not in ("--database", "both", "--database=both")]
        command = [sys.executable, __file__, *again, "--database", database]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        print(done.stdout.rsplit("\n{", 1)[0])
        told[database] = json.loads(done.stdout.splitlines()[-1])
    rates = {database: one["figures"]["engine_rows_per_second"] for database, one in told.items()}
    print(f"Rows a second, whole job: SQLite {rates['sqlite']:,}, Postgres {rates['postgres']:,}\n")
    print(json.dumps({"name": "engine", "ratios": {n: one["ratios"] for n, one in told.items()}, "figures": told}))


def run_all(options: argparse.Namespace) -> None:
    """Run all three on the database chosen, print the table, then the JSON."""
    folder = Path(tempfile.mkdtemp(prefix="rowmill-bench-", dir=options.dir))
    try:
        set_up(folder)
        bench = Bench(folder, options.rows, options.concurrency)
        seconds = {name: [] for name in ("engine", "bare_inserts", "bulk_create")}
        for run in range(options.runs):
            print(f"run {run + 1} of {options.runs} ...", file=sys.stderr, flush=True)
            # The order turns with each run, so that nobody always has the warm disk.
            names = list(seconds)
            for name in names[run % 3 :] + names[: run % 3]:
                seconds[name].append(getattr(bench, name)())
        report(options, {name: statistics.median(taken) for name, taken in seconds.items()}, seconds)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def read_options() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=100_000, help="rows of the job (100000)")
    parser.add_argument("--runs", type=int, default=3, help="runs of each; the median is told (3)")
    parser.add_argument("--concurrency", type=int, default=0, help="batches at a time; 0 = as shipped")
    parser.add_argument("--database", choices=("sqlite", "postgres", "both"), default="sqlite", help="which (sqlite)")
    parser.add_argument("--dir", default=None, help="a folder on the disk to measure; else the system's temporary one")
    return parser.parse_args()


def set_up(folder: Path) -> None:
    """Point Rowmill at a folder of its own and load it."""
    os.environ.update(ROWMILL_DATA_DIR=str(folder), ROWMILL_LOG_LEVEL="ERROR", ROWMILL_KINDS="nothing=nothing.Nothing")
    os.environ["ROWMILL_MIN_FREE_BYTES"] = "0"
    sys.path.insert(0, str(Path(__file__).resolve().parent))
    from rowmill.cli.serving import prepare_database, set_up_django

    set_up_django()
    prepare_database()


class Bench:
    """The three ways to get one result for each row into the database. Each gives its seconds."""

    def __init__(self, folder: Path, rows: int, concurrency: int) -> None:
        from rowmill.orgs import add_member, create_org, find_caller

        self.folder, self.rows, self.concurrency = folder, rows, concurrency
        self.caller = find_caller(add_member(create_org("bench"), "bench@rowmill.test", "admin"))
        self.file = b"id\n" + b"".join(b"%09d\n" % number for number in range(1, rows + 1))

    def ready_upload(self) -> Any:
        """Take a file in and judge it, which is not measured here."""
        from rowmill.uploads.inspect import inspect_upload
        from rowmill.uploads.receive import begin_upload, finish_upload, receive_whole

        upload = begin_upload(self.caller, "nothing", "bench.csv")
        size, sha256 = receive_whole(upload, [self.file], len(self.file))
        return inspect_upload(finish_upload(upload, size, sha256))

    def engine(self) -> float:
        """Submit a job and let the embedded runner work it off."""
        from steps import wait_for

        from rowmill.jobs.runner import Runner
        from rowmill.jobs.submit import submit_job
        from rowmill.models import Result

        upload = self.ready_upload()
        runner = Runner(self.concurrency or None)
        runner.start()
        begun = time.perf_counter()
        job = submit_job(upload, None, {})
        wait_for(job)
        taken = time.perf_counter() - begun
        runner.stop()
        assert Result.objects.filter(job=job, outcome="ok").count() == self.rows
        return taken

    def bare_inserts(self) -> float:
        """Insert the same rows by the driver alone."""
        return self.postgres_inserts() if os.environ.get("DATABASE_URL") else self.sqlite_inserts()

    def postgres_inserts(self) -> float:
        """Insert the same rows with psycopg's executemany (a pipeline), 500 to a transaction, into a like table."""
        import psycopg

        with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as con:
            con.execute("DROP TABLE IF EXISTS bare_result")
            table = BARE_TABLE.replace("integer PRIMARY KEY AUTOINCREMENT", "bigserial PRIMARY KEY")
            con.execute(table.replace("BLOB", "bytea").replace("datetime", "timestamptz"))
            begun = time.perf_counter()
            for first in range(1, self.rows + 1, TRANSACTION_ROWS):
                last = min(first + TRANSACTION_ROWS - 1, self.rows)
                with con.transaction(), con.cursor() as cursor:
                    cursor.executemany(
                        BARE_INSERT.replace("?", "%s"),
                        [(n, "ok", "", "", b"", 0, 1, "2026-01-01 00:00:00+00", 1, 1) for n in range(first, last + 1)],
                    )
            taken = time.perf_counter() - begun
            assert con.execute("SELECT count(*) FROM bare_result").fetchone() == (self.rows,)
        return taken

    def sqlite_inserts(self) -> float:
        """Insert the same rows with executemany, 500 to a transaction, into a table with the same columns and key."""
        import sqlite3

        path = self.folder / "bare.sqlite3"
        con = sqlite3.connect(path, isolation_level=None)
        con.executescript(PRAGMAS + BARE_TABLE)
        begun = time.perf_counter()
        for first in range(1, self.rows + 1, TRANSACTION_ROWS):
            last = min(first + TRANSACTION_ROWS - 1, self.rows)
            con.execute("BEGIN IMMEDIATE")
            con.executemany(
                BARE_INSERT,
                [(n, "ok", "", "", b"", 0, 1, "2026-01-01 00:00:00.000000", 1, 1) for n in range(first, last + 1)],
            )
            con.execute("COMMIT")
        taken = time.perf_counter() - begun
        assert con.execute("SELECT count(*) FROM bare_result").fetchone() == (self.rows,)
        con.close()
        for part in self.folder.glob("bare.sqlite3*"):
            part.unlink()
        return taken

    def bulk_create(self) -> float:
        """Make the same Result objects and let Django insert them, 500 to a transaction."""
        from django.db import transaction
        from django.utils import timezone

        from rowmill.models import Job, Result

        job = Job.objects.create(
            org=self.caller.org, upload=self.ready_upload(), kind="nothing", total_rows=self.rows, state="COMPLETED"
        )
        begun = time.perf_counter()
        for first in range(1, self.rows + 1, TRANSACTION_ROWS):
            last = min(first + TRANSACTION_ROWS - 1, self.rows)
            now = timezone.now()
            with transaction.atomic():
                Result.objects.bulk_create(
                    Result(org_id=job.org_id, job_id=job.pk, row_number=n, outcome="ok", claims=1, written_at=now)
                    for n in range(first, last + 1)
                )
        taken = time.perf_counter() - begun
        assert Result.objects.filter(job=job).count() == self.rows
        return taken


def report(options: argparse.Namespace, medians: dict[str, float], seconds: dict[str, list[float]]) -> None:
    """Print the table for people, then one line of JSON."""
    ours = medians["engine"]
    print(f"Engine on {options.database}, {options.rows:,} rows, a kind that does nothing, median of {options.runs}\n")
    print(f"{'':<28}{'seconds':>9}{'rows/s':>12}{'ours / it':>11}")
    words = {
        "engine": "rowmill, whole job",
        "bare_inserts": "bare inserts (executemany)",
        "bulk_create": "Django bulk_create",
    }
    for name, taken in medians.items():
        print(f"{words[name]:<28}{taken:>9.2f}{options.rows / taken:>12,.0f}{ours / taken:>11.2f}")
    print()
    ratios = {name: round(ours / medians[name], 3) for name in ("bare_inserts", "bulk_create")}
    figures: dict[str, Any] = {"rows": options.rows, "runs": options.runs, "database": options.database}
    if options.database == "sqlite":
        figures["sqlite"] = sqlite_version()
    for name, taken in medians.items():
        figures[f"{name}_seconds"] = round(taken, 3)
        figures[f"{name}_rows_per_second"] = round(options.rows / taken)
    figures["all_seconds"] = {name: [round(one, 3) for one in taken] for name, taken in seconds.items()}
    print(json.dumps({"name": "engine", "ratios": ratios, "figures": figures}))


def sqlite_version() -> str:
    """Give the version of the library in use."""
    return str(sys.modules["sqlite3"].sqlite_version)  # type: ignore[attr-defined]


if __name__ == "__main__":
    main()
