"""Through HTTP, against a real `rowmill up`: a job cancelled on its way keeps what is done, and is retried to its end."""

from __future__ import annotations

import csv
import time
from pathlib import Path

import pytest

from payersim.testing import running_apart
from rowmill.cli.demo import compare
from tests.crash.checker import Acknowledged, find_violations
from tests.crash.claims import make_slices
from tests.crash.server import JOBS, Refused, provided

pytestmark = pytest.mark.crash
ROWS = 300


def test_cancel_at_a_third_then_retry_to_the_end(tmp_path: Path) -> None:
    book, (claims,) = make_slices(tmp_path, 3, [ROWS], without=("out_of_order",))
    arguments = ("--profile", "realistic", "--latency-scale", "0.03", "--book", str(book), "--in-flight-cap", "20")
    with (
        running_apart(*arguments) as payer,
        provided(tmp_path, payer.base_url, payer.token_url, ROWMILL_SWEEP_SECONDS="600") as server,
    ):
        server.start()
        payer.control(
            "settings", {"latency_scale": 0.12}
        )  # so that the cancel falls into the middle, however late it is
        job = server.upload(claims.data)["id"]
        server.wait(job, until=lambda p: p["processed_rows"] >= ROWS * 0.3)
        told = server.call("POST", f"{JOBS}{job}/cancel/")
        assert told["status"] in ("CANCELLING", "CANCELLED")
        cancelled = server.wait(job)  # the sweeper is asleep: the workers themselves see the cancel
        assert cancelled["status"] == "CANCELLED"

        kept = cancelled["processed_rows"]
        assert ROWS * 0.3 <= kept < ROWS
        assert cancelled["outcomes"]["unprocessed"] == ROWS - kept
        lines = _lines(server.save_results(job, tmp_path / "partly.csv"))
        assert [line["row"] for line in lines] == [str(n) for n in range(1, ROWS + 1)]
        assert sum(line["error"].startswith("NOT_PROCESSED") for line in lines) == ROWS - kept
        assert find_violations(server.data_dir) == []
        calls = payer.stats()["inquiries"]
        time.sleep(1.5)
        assert payer.stats()["inquiries"] == calls, "a cancelled job still asks the payer"

        payer.control("settings", {"latency_scale": 0.03})
        failed = cancelled["outcomes"]["failed"]
        again = server.call("POST", f"{JOBS}{job}/retry/")
        assert again["retried_rows"] == ROWS - kept + failed
        with pytest.raises(Refused) as refused:
            server.call("POST", f"{JOBS}{job}/retry/")
        assert refused.value.status == 409
        assert server.wait(job)["status"] == "COMPLETED"
        report = compare(server.save_results(job, tmp_path / "whole.csv"), claims.book)
        assert report["equal_to_book"], report
        assert server.terminate() == 0
        assert find_violations(server.data_dir, [Acknowledged(job, claims.sha256, ROWS)]) == []


def _lines(path: Path) -> list[dict[str, str]]:
    """Read a results file."""
    with path.open(newline="", encoding="utf-8-sig") as file:
        return list(csv.DictReader(file))
