r"""Contacts into Postgres: the whole import from the stored upload to the last commit, against what else there is.

    python bench/contacts.py --rows 100000 [--database sqlite] [--alone] [--outside | --modules DIR]

The reference is `psql \copy` of clean, typed cells into a table with the same columns and indexes. Ours receives the raw
export, judges it, cleans, checks, deduplicates and merges it, with its account. Two batches at a time, fsync on. As in
a server the runner runs already, and the process that judges has been started ahead; both are at rest when the clock starts.
Measured: an empty table, the same file again, one with 1 % of its rows changed, and the undo of that. Held against the
book of the file on the way: the account, that the second run changes nothing, that the undo restores a checksum.
pgloader gets the cells of `\copy` where it is installed (`apt-get install pgloader`) or named by `--pgloader`.
`--alone` leaves all others out, and undoes the first import at the end.
`--outside` adds pandas (`--outside-rows`) and django-import-export (at most 10,000 rows),
which pip installs into a temporary folder.
The last line is JSON; a ratio is our seconds over theirs for as many rows, of the same run.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("sqlalchemy==2.0.58", "django-import-export==4.3.3")
IMPORT_EXPORT_ROWS = 10_000
LOAD = """LOAD CSV FROM '{file}' ({fields}) INTO {url} TARGET TABLE bare_contact ({columns})
WITH batch rows = 10000, fields terminated by ',', fields optionally enclosed by '"', fields escaped by double-quote
SET timezone TO 'UTC';"""


def main() -> None:
    """Run all, print the table, then the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=10_000, help="rows of the file (10000)")
    parser.add_argument("--concurrency", type=int, default=2, help="batches at a time (2)")
    parser.add_argument("--bulk-create-rows", type=int, default=10_000, help="most rows for bulk_create (10000)")
    parser.add_argument("--database", choices=("postgres", "sqlite"), default="postgres", help="which (postgres)")
    parser.add_argument("--dir", default=None, help="a folder on the disk to measure; else the system's temporary one")
    parser.add_argument(
        "--file", type=Path, default=None, help="a file made by `rowmill sample contacts`, to save time"
    )
    parser.add_argument("--book", type=Path, default=None, help="its book")
    parser.add_argument("--alone", action="store_true", help="measure only ours and \\copy")
    parser.add_argument("--outside", action="store_true", help="add what pip has to install first")
    parser.add_argument("--outside-rows", type=int, default=10_000, help="most rows for pandas (10000)")
    parser.add_argument("--pgloader", default=shutil.which("pgloader"), help="the program, where it is not on the path")
    parser.add_argument("--modules", type=Path, default=None, help="where that is installed already")
    options = parser.parse_args()
    sys.path[:0] = [str(ROOT), str(Path(__file__).resolve().parent)]
    folder = Path(tempfile.mkdtemp(prefix="rowmill-bench-", dir=options.dir))
    try:
        if options.database == "sqlite":
            os.environ.pop("DATABASE_URL", None)
            Bench(folder, options).run()
            return
        from tests.servers.postgres import Postgres

        with Postgres(sync=True, base=options.dir) as server:
            os.environ["DATABASE_URL"] = server.new_database()
            Bench(folder, options).run()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class Bench:
    """The ways to get a file of contacts into the table. Each gives its seconds."""

    def __init__(self, folder: Path, options: argparse.Namespace) -> None:
        os.environ.update(ROWMILL_DATA_DIR=str(folder), ROWMILL_LOG_LEVEL="ERROR", ROWMILL_MIN_FREE_BYTES="0")
        from rowmill.cli.serving import prepare_database, set_up_django

        set_up_django()
        prepare_database()
        from rowmill.contacts.sample import make_contacts
        from rowmill.orgs import add_member, create_org, find_caller

        self.folder, self.options = folder, options
        self.caller = find_caller(add_member(create_org("bench"), "bench@rowmill.test", "admin"))
        self.file, self.book = options.file or folder / "contacts.csv", options.book or folder / "book"
        if options.file is None:
            make_contacts(options.rows, 1, self.file, self.book)
        self.figures: dict[str, Any] = {"rows": options.rows, "bytes": self.file.stat().st_size}
        self.seconds: dict[str, float] = {}
        self.most_mb = 0

    @property
    def on_postgres(self) -> bool:
        """Tell which database it is."""
        return bool(self.options.database == "postgres")

    def run(self) -> None:
        """Run everything and report."""
        self.import_all()
        if self.on_postgres:
            self.copy_typed()
        if self.options.alone:
            self.undo_all()
        else:
            self.bulk_create()
            if self.on_postgres and (self.options.outside or self.options.modules):
                self.run_outside()
        self.report()

    # ---------------------------------------------------------------------------------------- ours

    def import_all(self) -> None:
        """Import the file, import it again, import it with changes, take those back; hold each against the book."""
        expected = Counter(line["expect"] for line in self.book_lines())
        told = self.import_file("rowmill", self.file)
        assert told["inserted"] == expected["inserted"], (told, expected)
        assert (told["duplicates"], told["rejected"]) == (expected["duplicate"], expected["rejected"]), told
        first = self.checksum()
        told = self.import_file("rowmill_again", self.file)
        assert (told["inserted"], told["updated"]) == (0, 0), told
        assert self.checksum() == first, "the second run changed something"
        changed = self.folder / "changed.csv"
        rows = self.change(changed)
        told = self.import_file("rowmill_changed", changed)
        assert (told["inserted"], told["updated"]) == (0, rows), (told, rows)
        assert self.checksum() != first
        self.take_back("undo_of_changes", "latest", restored=rows, removed=0)
        assert self.checksum() == first, "the undo did not restore the table"
        self.figures["largest_process_mb"] = self.most_mb

    def undo_all(self) -> None:
        """Undo the first import: nothing is left."""
        from rowmill.models import Contact

        self.take_back("undo_of_all", "earliest", restored=0, removed=Contact.objects.count())
        assert not Contact.objects.exists()

    def take_back(self, name: str, which: str, *, restored: int, removed: int) -> None:
        """Undo the latest import or the earliest, and hold what that came to against what it must."""
        from rowmill.jobs.undoing import undo_due
        from rowmill.merging.undo import undo_job
        from rowmill.models import Job

        begun = time.perf_counter()
        undo = undo_job(self.caller, getattr(Job.objects.select_related("org"), which)("pk"))
        while undo_due():
            pass
        self.seconds[name] = time.perf_counter() - begun
        undo.refresh_from_db()
        assert (undo.restored, undo.removed, undo.kept) == (restored, removed, 0)

    def book_lines(self) -> Any:
        """Read the book."""
        with self.book.open("rb") as file:
            yield from map(json.loads, file)

    def change(self, out: Path) -> int:
        """Write the file with another title in every hundredth row that stands for itself. Gives how many."""
        changed = 0
        with self.file.open(newline="", encoding="utf-8") as old, out.open("w", newline="", encoding="utf-8") as new:
            reader, writer = csv.reader(old), csv.writer(new, lineterminator="\n")
            header = next(reader)
            writer.writerow(header)
            title = header.index("Title")
            for cells, line in zip(reader, self.book_lines(), strict=True):
                if line["row"] % 100 == 50 and line["expect"] == "inserted":
                    cells[title] += " (acting)"
                    changed += 1
                writer.writerow(cells)
        return changed

    def checksum(self) -> Any:
        """Give a sum over all rows of the table with all their columns, ids too."""
        from django.db import connection

        with connection.cursor() as cursor:
            if self.on_postgres:
                cursor.execute("SELECT count(*), sum(hashtextextended(c::text, 0)::numeric) FROM rowmill_contact AS c")
                return cursor.fetchone()
            cursor.execute("SELECT * FROM rowmill_contact")
            return sum(hash(row) for row in iter(cursor.fetchone, None))

    def import_file(self, name: str, file: Path) -> dict[str, int]:
        """Import a raw file: judge it, then the job. Shape: the counts of the merge."""
        from rowmill.jobs.progress import read_progress
        from rowmill.jobs.runner import Runner
        from rowmill.jobs.submit import submit_job
        from rowmill.models import Job
        from rowmill.uploads.inspect import inspect_upload
        from rowmill.uploads.receive import begin_upload, finish_upload, receive_whole

        runner = Runner(self.options.concurrency)
        runner.start()
        upload = begin_upload(self.caller, "contact_import", "contacts.csv")
        with file.open("rb") as source:
            size, sha256 = receive_whole(upload, iter(lambda: source.read(1 << 20), b""), 1 << 40)
        upload = finish_upload(upload, size, sha256)
        start_ahead()
        Path("/proc/self/clear_refs").write_text("5")  # the peak of memory is counted from here
        begun = time.perf_counter()
        upload = inspect_upload(upload)
        judged = time.perf_counter()
        job = submit_job(upload, None, {})
        while Job.objects.values_list("state", flat=True).get(pk=job.pk) in ("PENDING", "PROCESSING"):
            time.sleep(0.02)
        ended = time.perf_counter()
        runner.stop()
        self.seconds |= {name: ended - begun, f"{name}_judging": judged - begun, f"{name}_merging": ended - judged}
        self.most_mb = max(self.most_mb, peak_mb())
        progress = read_progress(Job.objects.select_related("upload").get(pk=job.pk))
        assert progress.balance["rows_balance"], progress
        self.figures[name] = progress.merged
        print(f"{name}: {ended - begun:,.1f} s, {progress.merged}", flush=True)
        return progress.merged

    # ---------------------------------------------------------------------------------------- the others

    def copy_typed(self) -> None:
        """Load the same rows, clean and typed, into a table with the same columns, defaults and indexes."""
        from rowmill.models import Contact

        plain, columns = self.folder / "typed.csv", ", ".join(field.column for field in Contact._meta.concrete_fields)
        self.psql(f"\\copy rowmill_contact ({columns}) TO '{plain}' (FORMAT csv)")
        load = f"\\copy bare_contact ({columns}) FROM '{plain}' (FORMAT csv)"
        self.into_bare("psql_copy", lambda: self.psql(load))
        if not self.options.alone and self.options.pgloader:
            self.into_bare("pgloader", lambda: self.pgloader(plain))
        elif not self.options.alone:
            print("pgloader is left out: it is not installed (apt-get install pgloader)", flush=True)
        plain.unlink()

    def into_bare(self, name: str, load: Callable[[], None]) -> None:
        """Time what fills an empty table of the same kind."""
        self.psql("CREATE TABLE bare_contact (LIKE rowmill_contact INCLUDING ALL)")
        begun = time.perf_counter()
        load()
        self.seconds[name] = time.perf_counter() - begun
        from django.db import connection

        with connection.cursor() as cursor:
            cursor.execute("SELECT (SELECT count(*) FROM bare_contact), (SELECT count(*) FROM rowmill_contact)")
            loaded, there = cursor.fetchone()
        assert loaded == there, (name, loaded, there)
        self.psql("DROP TABLE bare_contact")

    def pgloader(self, plain: Path) -> None:
        """Load a CSV by pgloader. It knows no quoted blank, so each column that may be NULL takes blanks for that."""
        from rowmill.models import Contact

        columns = [(field.column, field.null) for field in Contact._meta.concrete_fields]
        told = LOAD.format(
            file=plain,
            fields=", ".join(f"{name} [null if blanks]" if null else name for name, null in columns),
            url=os.environ["DATABASE_URL"].replace("postgres://", "postgresql://", 1),
            columns=", ".join(name for name, _ in columns),
        )
        script = self.folder / "contacts.load"
        script.write_text(told)
        logs = ["--root-dir", str(self.folder / "pgloader"), "--on-error-stop", "--quiet"]
        subprocess.run([self.options.pgloader, *logs, str(script)], check=True)

    def psql(self, command: str) -> None:
        """Run one command of psql."""
        url = os.environ["DATABASE_URL"]
        subprocess.run(["psql", "-q", "-X", "-v", "ON_ERROR_STOP=1", "-c", command, url], check=True)

    def bulk_create(self) -> None:
        """Insert the same contacts, already typed, by Django's bulk_create in batches of 10,000; then once more as upserts."""
        from rowmill.models import Contact

        rows = min(self.options.rows, self.options.bulk_create_rows)
        found = list(Contact.objects.order_by("pk")[:rows])
        Contact.objects.all().delete()
        size = 10_000 if self.on_postgres else None
        fields = [field.name for field in Contact._meta.concrete_fields if field.name not in ("id", "org", "match_key")]
        upsert = {"update_conflicts": True, "unique_fields": ["org", "match_key"], "update_fields": fields}
        for name, how in (("bulk_create", {}), ("bulk_create_update_conflicts", upsert)):
            for contact in found:
                contact.pk = None
            begun = time.perf_counter()
            Contact.objects.bulk_create(found, batch_size=size, **how)
            self.seconds[name] = (time.perf_counter() - begun) * self.options.rows / max(1, len(found))
        self.figures["bulk_create_rows"] = len(found)

    def run_outside(self) -> None:
        """Run what is not installed here, each in a process of its own, with the packages in a folder of their own."""
        modules = self.options.modules or self.folder / "modules"
        if self.options.modules is None:
            quietly = ["-q", "--disable-pip-version-check", "--no-deps", "--target", str(modules)]
            packages = [*PACKAGES, "tablib==3.7.0", "diff-match-patch==20241021", "typing_extensions==4.16.0"]
            subprocess.run([sys.executable, "-m", "pip", "install", *quietly, *packages], check=True)
        path = os.pathsep.join([str(ROOT), str(modules)])
        for name in ("pandas_to_sql", "import_export"):
            most = IMPORT_EXPORT_ROWS if name == "import_export" else min(self.options.outside_rows, self.options.rows)
            command = [sys.executable, str(Path(__file__).with_name("contacts_outside.py")), name, str(most)]
            done = subprocess.run(
                command, env={**os.environ, "PYTHONPATH": path}, check=True, stdout=subprocess.PIPE, text=True
            )
            told = json.loads(done.stdout.splitlines()[-1])
            self.seconds[name] = told["seconds"] * self.options.rows / told["rows"]
            self.figures[f"{name}_rows"] = told["rows"]

    def report(self) -> None:
        """Print it."""
        ours, rows = self.seconds["rowmill"], self.options.rows
        print(f"\n{rows:,} contacts of 48 columns, {self.figures['bytes'] / 1e6:,.0f} MB, {self.options.database}\n")
        for name, seconds in self.seconds.items():
            print(f"  {name:28} {seconds:9.2f} s   {rows / seconds:12,.0f} rows/s   ours {ours / seconds:6.3f} x")
        parts = ("_judging", "_merging")
        against = [n for n in self.seconds if n != "rowmill" and not n.endswith(parts) and not n.startswith("undo")]
        ratios = {name: round(ours / self.seconds[name], 4) for name in against}
        ratios["again_to_first"] = round(self.seconds["rowmill_again"] / ours, 3)
        if "psql_copy" in self.seconds:
            ratios["merging_to_psql_copy"] = round(self.seconds["rowmill_merging"] / self.seconds["psql_copy"], 3)
        self.figures["seconds"] = {name: round(seconds, 3) for name, seconds in self.seconds.items()}
        print("\n" + json.dumps({"name": "contacts", "ratios": ratios, "figures": self.figures}))


def start_ahead() -> None:
    """Start the process that judges the next file, as a server does, and wait until it rests."""
    from rowmill.tabular import child

    child.keep_spare()
    assert child._spare._child is not None
    stat, before, spent = Path(f"/proc/{child._spare._child.pid}/stat"), "", " "
    while spent != before:
        time.sleep(1)
        before, spent = spent, " ".join(stat.read_text().rsplit(")", 1)[1].split()[11:13])


def peak_mb() -> int:
    """Give the most memory that this process had since the peak was last cleared, or any child of it ever had."""
    lines = Path("/proc/self/status").read_text().splitlines()
    own = next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))
    return max(own, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss) // 1024


if __name__ == "__main__":
    main()
