"""What the command line shows while it works: bars with numbers, and problems in words."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.progress import TransferSpeedColumn as Speed

CONSOLE = Console(stderr=True, highlight=False)
HINTS = {  # what the API's words cannot know: how it is done from here
    "duplicate_file": "To run it again, add --confirm-duplicate.",
    "token_not_valid": "An access token lives for minutes. Get a new one, or sign in with --email.",
}


class Bar:
    """How far a file has been sent, with speed and time left."""

    def __init__(self, progress: Progress, task: TaskID) -> None:
        self._progress, self._task = progress, task

    def begin_at(self, count: int) -> None:
        """Begin with what was sent before: it says nothing about the speed."""
        self._progress.reset(self._task, completed=count)

    def advance(self, count: int) -> None:
        """Go on; back where what was sent did not arrive."""
        self._progress.advance(self._task, count)

    def say(self, words: str) -> None:
        """Say beside the bar what is waited for."""
        self._progress.update(self._task, words=words)


@contextmanager
def upload_bar(size_bytes: int) -> Iterator[Bar]:
    """Show how far a file has been sent."""
    columns = (TextColumn("Uploading"), BarColumn(), DownloadColumn(), Speed(), TimeRemainingColumn())
    with Progress(*columns, TextColumn("{task.fields[words]}"), console=CONSOLE) as progress:
        yield Bar(progress, progress.add_task("upload", total=size_bytes, words=""))


@contextmanager
def job_bar(rows: int) -> Iterator[Callable[[dict[str, Any]], None]]:
    """Show how far a job is, from the API's progress."""
    columns = (
        TextColumn("{task.fields[state]:<10}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[words]}"),
    )
    with Progress(*columns, console=CONSOLE) as progress:
        task = progress.add_task("job", total=max(rows, 1), state="PENDING", words="")

        def show(now: dict[str, Any]) -> None:
            progress.update(task, completed=now["processed_rows"], state=now["status"], words=_words(now))

        yield show


def _words(now: dict[str, Any]) -> str:
    """Put rate, time left and waiting reason beside the bar."""
    if now.get("waiting_reason"):
        return str(now["waiting_reason"])
    parts = [
        f"{count:,} {word.replace('_', ' ')}"
        for word, count in now["outcomes"].items()
        if count and word != "unprocessed"
    ]
    if now.get("rows_per_minute"):
        parts.append(f"{now['rows_per_minute']:,.0f} rows/min")
    left = now.get("seconds_left")
    if isinstance(left, dict):
        left = (left.get("low"), left.get("high"))
    if left:
        parts.append(f"{left[0]}-{left[1]} s left")
    return " · ".join(parts)


def print_problem(problem: dict[str, Any], sentence: str) -> None:
    """Print why the server refused, with the places in the file."""
    CONSOLE.print(f"[bold red]Refused:[/] {sentence}")
    if hint := HINTS.get(problem.get("code", "")):
        CONSOLE.print(hint)
    for finding in problem.get("findings", [])[:20]:
        CONSOLE.print(f"  {finding['message']} {finding.get('mend', '')}")


def print_waiting(words: str, address: str) -> None:
    """Print why a file that is there is not imported, and the ways on."""
    CONSOLE.print(f"[bold yellow]Waiting for your go-ahead:[/] {words}", soft_wrap=True)
    CONSOLE.print("The file is there and sound; nothing is imported, nothing is changed.", soft_wrap=True)
    CONSOLE.print(f"Look at it and start it: {address}", soft_wrap=True)
    CONSOLE.print(
        "Or run this command again with --go-ahead: that imports it, however much it changes; nothing is sent again.",
        soft_wrap=True,
    )


def print_stop(words: str) -> None:
    """Print what an upload that stopped has left behind, and how it goes on."""
    if words:
        CONSOLE.print(words)
