"""The command that shows the whole main job: simulator, server, sample, upload, live bar, balance, first results."""

from __future__ import annotations

import asyncio
import csv
import json
import os
import secrets
import shutil
import signal
import sys
import tempfile
import threading
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from payersim.testing import Payer
    from rowmill.cli.serving import Embedded

EMAIL = "demo@rowmill.test"
IN_FLIGHT = 20
LATENCY_SCALE = 0.05
COMPARED = ("status", "patient_name", "total_charged", "total_paid")


def demo(
    rows: Annotated[int, typer.Option(help="How many claims.", min=1)] = 200,
    seed: Annotated[int, typer.Option(help="Seed of the sample and of the simulator.")] = 1,
    port: Annotated[int, typer.Option(help="Port of the pages; 0 takes a free one.")] = 8000,
    profile: Annotated[
        str, typer.Option(help="How the simulated payer behaves: calm, realistic, bursty, hostile.")
    ] = "realistic",
    latency_scale: Annotated[float, typer.Option(help="1 is 8 to 10 s a call, 0 is at once.")] = LATENCY_SCALE,
    exit_: Annotated[bool, typer.Option("--exit", help="Stop at the end instead of staying up.")] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object at the end, and nothing else.")
    ] = False,
) -> None:
    """Run the whole main job on made-up claims, against a simulated payer, and compare every row with what is known.

    Everything lies in a temporary folder that goes away at the end. Exit: 0 when every row is as the book says, else 1.
    """
    folder = Path(tempfile.mkdtemp(prefix="rowmill-demo-"))
    os.environ["ROWMILL_DATA_DIR"] = str(folder / "data")
    os.environ.setdefault("ROWMILL_LOG_LEVEL", "ERROR")
    os.environ.setdefault("ROWMILL_MAX_UPLOAD_BYTES", str(1 << 30))
    stopping = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopping.set())
    try:
        good = _Demo(folder, rows, seed, port, as_json).run(profile, latency_scale, None if exit_ else stopping)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    raise typer.Exit(0 if good else 1)


class _Demo:
    """One run of the demo."""

    def __init__(self, folder: Path, rows: int, seed: int, port: int, as_json: bool) -> None:
        self.folder, self.rows, self.seed, self.port, self.quiet = folder, rows, seed, port, as_json
        self.file, self.book, self.results = folder / "claims.csv", folder / "book.jsonl", folder / "results.csv"
        self.password = os.environ.get("ROWMILL_ADMIN_PASSWORD") or secrets.token_urlsafe(12)
        self.email = os.environ.get("ROWMILL_ADMIN_EMAIL") or EMAIL

    def say(self, text: str = "") -> None:
        """Print for people."""
        if not self.quiet:
            print(text, flush=True)

    def run(self, profile: str, latency_scale: float, stay: threading.Event | None) -> bool:
        """Do it all. Gives whether every row is as the book says."""
        from payersim.testing import running
        from rowmill.claims.sample import make_claims

        self.say(f"==> Making a sample of {self.rows:,} claims of invented people")
        expected = make_claims(self.rows, self.seed, self.file, self.book)
        self.say("==> Starting a simulated payer, and Rowmill on SQLite and a local folder")
        with running(profile, self.book, latency_scale, seed=self.seed, in_flight_cap=IN_FLIGHT) as payer:
            embedded = self._start(payer)
            try:
                report = asyncio.run(self._work(embedded.url))
                report["expected"] = dict(expected)
                report["payer"] = payer.stats()
                self._tell(report)
                if stay is not None:
                    self._stay(embedded.url, stay)
            finally:
                embedded.stop()
        return bool(report["equal_to_book"])

    def _start(self, payer: Payer) -> Embedded:
        """Start Rowmill with one admin, one practice and one payer account."""
        from rowmill.cli.serving import Embedded, set_up_django

        set_up_django()
        embedded = Embedded("127.0.0.1", self.port)
        _provision(self.email, self.password, payer)
        embedded.start()
        return embedded

    async def _work(self, url: str) -> dict[str, Any]:
        """Upload through the API, follow, fetch the results, compare."""
        from rowmill.cli.bars import job_bar
        from rowmill.cli.client import UPLOAD_PATHS, follow, open_client, sign_in

        token = await sign_in(url, self.email, self.password)
        async with open_client(url, token) as client:
            self.say("==> Uploading it through the API")
            job = await client.send_file(UPLOAD_PATHS["claim_status"], self.file, {}, lambda _count: None)
            if self.quiet:
                await follow(client, job["id"], lambda _progress: None)
            else:
                with job_bar(job["total_rows"]) as shown:
                    await follow(client, job["id"], shown)
            job = await client.call("GET", f"/api/v1/claims/csv-jobs/{job['id']}/")
            await client.save(f"/api/v1/claims/csv-jobs/{job['id']}/results/", self.results)
        return {
            "job": job["id"],
            "status": job["status"],
            "counts": job["outcomes"],
            "total_rows": job["total_rows"],
            "processed_rows": job["processed_rows"],
            "balance": job["balance"],
            **compare(self.results, self.book),
        }

    def _tell(self, report: dict[str, Any]) -> None:
        """Print the balance and the first results, or the JSON."""
        if self.quiet:
            print(json.dumps(report), flush=True)
            return
        balance = report["balance"]
        self.say(
            f"\n{report['status']}: " + " · ".join(f"{n:,} {w.replace('_', ' ')}" for w, n in report["counts"].items())
        )
        self.say(
            f"Balance: {balance['lines']:,} lines = {balance['header']:,} header + {balance['rows']:,} rows + "
            f"{balance['blank']:,} blank + {balance['continuation']:,} continuation + {balance['preamble_footer']:,} preamble "
            f"and footer + {balance['broken']:,} broken; rows with a result: {report['processed_rows']:,} "
            f"of {report['total_rows']:,}"
        )
        word = "equals" if report["equal_to_book"] else f"DIFFERS in {report['differences']:,} rows from"
        self.say(
            f"Every row {word} what the claim book says."
            if report["equal_to_book"]
            else f"The result {word} the claim book."
        )
        self.say("\nThe first results:")
        _print_table(self.results)

    def _stay(self, url: str, stay: threading.Event) -> None:
        """Stay up until stopped."""
        self.say(f"\nPages: {url}/bulk-upload    API: {url}/api/docs/")
        self.say(f"Sign in: {self.email}  password: {self.password}" if not self.quiet else "")
        self.say("It stays up; stop it with Ctrl-C. Next: drop a file of your own on the page, or read docs/README.md.")
        stay.wait()


def _provision(email: str, password: str, payer: Payer) -> None:
    """Make the first admin, and what a job needs: a practice and the simulator's account."""
    from rowmill.claims.accounts import seal_credentials
    from rowmill.claims.sample import impossible_npi, impossible_tin
    from rowmill.models import Membership, PayerAccount, Practice
    from rowmill.orgs import make_first_admin

    admin = make_first_admin(email, password, "Demo clinic")
    org = Membership.objects.select_related("org").get(user=admin).org
    practice = Practice.objects.create(org=org, name="Demo practice", tin=impossible_tin(), npi=impossible_npi())
    account = PayerAccount(
        org=org, payer="UHC", practice=practice, base_url=payer.base_url, token_url=payer.token_url, in_flight=IN_FLIGHT
    )
    seal_credentials(account, "sim-client", "sim-secret")
    account.save()


def compare(results: Path, book: Path) -> dict[str, Any]:
    """Hold a results file against the claim book, row by row.

    Shape: {"rows_compared", "differences", "equal_to_book", "outcomes_by_code"}.
    """
    differences, compared = 0, 0
    codes: Counter[str] = Counter()
    with results.open(newline="", encoding="utf-8-sig") as got, book.open(encoding="utf-8") as pages:
        lines = csv.DictReader(got)
        for page in pages:
            known = json.loads(page)
            compared += 1
            line = next(lines, None)
            codes[known["expect"]["code"] or "OK"] += 1
            if line is None or not _agrees(line, known):
                differences += 1
        differences += sum(1 for _ in lines)
    return {
        "rows_compared": compared,
        "differences": differences,
        "equal_to_book": differences == 0 and compared > 0,
        "expected_by_code": dict(codes),
    }


def _agrees(line: dict[str, str], known: dict[str, Any]) -> bool:
    """Tell whether one result is as the book says."""
    expect = known["expect"]
    if line["row"] != str(known["row"]) or (line["success"] == "True") != (expect["outcome"] == "ok"):
        return False
    if expect["outcome"] != "ok":
        return bool(line["error"].split(":")[0] == expect["code"])
    month_first = expect["processed_date"] and "{1}/{2}/{0}".format(*expect["processed_date"].split("-"))
    # Payers write names as they like, so upper and lower case do not count.
    return bool(
        line["processed_date"] == month_first and all(line[n].casefold() == expect[n].casefold() for n in COMPARED)
    )


SHOWN = ("row", "claim_number", "status", "patient_name", "total_paid", "processed_date", "success", "error")


def _print_table(results: Path, most: int = 8) -> None:
    """Print the first results."""
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for name in SHOWN:
        table.add_column(name, no_wrap=True)
    with results.open(newline="", encoding="utf-8-sig") as file:
        for line, _ in zip(csv.DictReader(file), range(most), strict=False):
            table.add_row(*(line[name][:60] for name in SHOWN))
    Console(file=sys.stdout, highlight=False, width=150).print(table)
