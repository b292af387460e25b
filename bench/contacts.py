r"""Contacts into Postgres: the whole import from the stored upload to the last commit, against what else there is.

The reference is `psql \copy` of clean, typed cells into a table with the same columns and indexes. Ours receives the raw
export, judges it, cleans, checks, deduplicates and merges it, with its account. Two batches at a time, fsync on.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent


def main() -> None:
    """Run all, print the table, then the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=10_000, help="rows of the file (10000)")
    parser.add_argument("--concurrency", type=int, default=2, help="batches at a time (2)")
    parser.add_argument(
        "--bulk-create-rows", type=int, default=10_000, help="most rows for Django's bulk_create (10000)"
    )
    parser.add_argument("--database", choices=("postgres", "sqlite"), default="postgres", help="which (postgres)")
    parser.add_argument("--dir", default=None, help="a folder on the disk to measure; else the system's temporary one")
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
        self.file = folder / "contacts.csv"
        make_contacts(options.rows, 1, self.file)
        self.figures: dict[str, Any] = {"rows": options.rows, "bytes": self.file.stat().st_size}
        self.seconds: dict[str, float] = {}

    def run(self) -> None:
        """Run everything and report."""
        self.figures["first"] = self.import_file("rowmill")
        self.figures["again"] = self.import_file("rowmill_again")
        if self.options.database == "postgres":
            self.copy_typed()
        self.bulk_create()
        self.report()

    def import_file(self, name: str) -> dict[str, int]:
        """Import the raw file: judge it, then the job. Shape: the counts of the merge."""
        from steps import wait_for

        from rowmill.jobs.progress import read_progress
        from rowmill.jobs.runner import Runner
        from rowmill.jobs.submit import submit_job
        from rowmill.uploads.inspect import inspect_upload
        from rowmill.uploads.receive import begin_upload, finish_upload, receive_whole

        upload = begin_upload(self.caller, "contact_import", "contacts.csv")
        with self.file.open("rb") as file:
            size, sha256 = receive_whole(upload, iter(lambda: file.read(1 << 20), b""), 1 << 40)
        upload = finish_upload(upload, size, sha256)
        runner = Runner(self.options.concurrency)
        begun = time.perf_counter()
        upload = inspect_upload(upload)
        judged = time.perf_counter()
        runner.start()
        job = submit_job(upload, None, {})
        wait_for(job)
        ended = time.perf_counter()
        runner.stop()
        self.seconds[name] = ended - begun
        self.seconds[f"{name}_judging"] = judged - begun
        self.seconds[f"{name}_merging"] = ended - judged
        progress = read_progress(job)
        assert progress.balance["rows_balance"], progress
        return progress.merged

    def copy_typed(self) -> None:
        """Copy the same rows, clean and typed, by psql into a table with the same columns, defaults and indexes."""
        plain = self.folder / "typed.csv"
        self.psql(f"\\copy rowmill_contact TO '{plain}' (FORMAT csv)")
        self.psql("CREATE TABLE bare_contact (LIKE rowmill_contact INCLUDING ALL)")
        begun = time.perf_counter()
        self.psql(f"\\copy bare_contact FROM '{plain}' (FORMAT csv)")
        self.seconds["psql_copy"] = time.perf_counter() - begun
        self.psql("DROP TABLE bare_contact")

    def psql(self, command: str) -> None:
        """Run one command of psql."""
        url = os.environ["DATABASE_URL"]
        subprocess.run(["psql", "-q", "-X", "-v", "ON_ERROR_STOP=1", "-c", command, url], check=True)

    def bulk_create(self) -> None:
        """Insert the same contacts, already typed, by Django's bulk_create in batches of 10,000."""
        from rowmill.models import Contact

        rows = min(self.options.rows, self.options.bulk_create_rows)
        found = list(Contact.objects.order_by("pk")[:rows])
        Contact.objects.all().delete()
        for contact in found:
            contact.pk = None
        begun = time.perf_counter()
        Contact.objects.bulk_create(found, batch_size=10_000 if self.options.database == "postgres" else None)
        taken = time.perf_counter() - begun
        self.seconds["bulk_create"] = taken * self.options.rows / max(1, len(found))
        self.figures["bulk_create_rows"] = len(found)

    def report(self) -> None:
        """Print it."""
        ours = self.seconds["rowmill"]
        print(
            f"\n{self.options.rows:,} contacts of 48 columns, {self.figures['bytes'] / 1e6:,.0f} MB, {self.options.database}\n"
        )
        for name, seconds in self.seconds.items():
            print(
                f"  {name:22} {seconds:9.2f} s   {self.options.rows / seconds:12,.0f} rows/s   ours {ours / seconds:6.2f} x"
            )
        against = [name for name in ("psql_copy", "bulk_create", "rowmill_again") if name in self.seconds]
        ratios = {name: round(ours / self.seconds[name], 3) for name in against}
        ratios["merging_to_psql_copy"] = round(self.seconds["rowmill_merging"] / self.seconds.get("psql_copy", ours), 3)
        self.figures["seconds"] = {name: round(seconds, 3) for name, seconds in self.seconds.items()}
        print("\n" + json.dumps({"name": "contacts", "ratios": ratios, "figures": self.figures}))


if __name__ == "__main__":
    main()
