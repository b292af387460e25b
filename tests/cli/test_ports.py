"""A start that cannot have its port says so in a sentence; the simulator knows the samples without being told."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from payersim.book import Book
from rowmill.cli.simulator import _write_sample_book

ROOT = Path(__file__).parents[2]


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        held.listen()
        yield int(held.getsockname()[1])


def start(*words: str) -> subprocess.CompletedProcess[str]:
    """Run a command that should end at once."""
    return subprocess.run(
        [sys.executable, "-m", "rowmill", *words], capture_output=True, text=True, timeout=120, check=False
    )


@pytest.mark.slow
@pytest.mark.parametrize("command", ["up", "demo", "payer-sim"])
def test_a_taken_port_is_said_in_a_sentence(command: str, taken: int, tmp_path: Path) -> None:
    more = {"up": ["--data-dir", str(tmp_path / "data")], "payer-sim": ["--control-port", "0"]}.get(command, [])
    done = start(command, "--port", str(taken), *more)
    assert done.returncode == 2
    assert f"{taken}" in done.stderr
    assert "0 takes a free one" in done.stderr
    assert "Traceback" not in done.stderr


def test_without_a_book_the_simulator_knows_the_samples(tmp_path: Path) -> None:
    pages = _write_sample_book(tmp_path).read_bytes()
    assert pages.startswith((ROOT / "samples" / "claims-20.book.jsonl").read_bytes())
    assert (tmp_path / "claims.csv").read_bytes().startswith((ROOT / "samples" / "claims-20.csv").read_bytes())
    assert Book.from_path(tmp_path / "book.jsonl").get("CLM0000002-461") is not None
