"""The command that sends a file to a Rowmill over its API, and the small client behind it and the demo."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any

import aiohttp
import typer

from rowmill.errors import RowmillError

POLL_SECONDS = 1.0
FINAL = {"COMPLETED", "FAILED", "CANCELLED"}
UPLOAD_PATHS = {"claim_status": "/api/v1/claims/bulk/upload/"}


class Refused(RowmillError):
    """The server refused the request. `problem` is its answer."""

    code = "refused"

    def __init__(self, status: int, problem: dict[str, Any]) -> None:
        super().__init__(str(problem.get("detail") or problem.get("title") or f"The server answered {status}."))
        self.status = status
        self.problem = problem


class _Counting(io.BufferedReader):
    """A file that tells how far it was read."""

    def __init__(self, path: Path, seen: Callable[[int], None]) -> None:
        super().__init__(io.FileIO(path, "rb"))
        self._seen = seen

    def read(self, size: int | None = -1, /) -> bytes:
        """Read on and tell."""
        data = super().read(size)
        self._seen(len(data))
        return data


class Client:
    """Talks to one Rowmill with one access token."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session

    async def call(self, method: str, path: str, **arguments: Any) -> Any:
        """Make a call. Shape: parsed JSON, or bytes. Raises: Refused."""
        async with self._session.request(method, path, **arguments) as answer:
            parsed = await answer.json() if "json" in answer.content_type else await answer.read()
            if answer.status >= 400:
                raise Refused(answer.status, parsed if isinstance(parsed, dict) else {})
            return parsed

    async def send_file(
        self, path: str, file: Path, fields: dict[str, str], seen: Callable[[int], None]
    ) -> dict[str, Any]:
        """Post a file as multipart."""
        form = aiohttp.FormData(fields)
        form.add_field("file", _Counting(file, seen), filename=file.name, content_type="application/octet-stream")
        answer: dict[str, Any] = await self.call("POST", path, data=form)
        return answer

    async def save(self, path: str, out: Path) -> int:
        """Stream an answer into a file. Gives its bytes."""
        async with self._session.get(path) as answer:
            if answer.status >= 400:
                raise Refused(answer.status, await answer.json())
            with out.open("wb") as target:
                async for block in answer.content.iter_chunked(1 << 16):
                    target.write(block)
                return target.tell()


@asynccontextmanager
async def open_client(url: str, token: str = "") -> AsyncIterator[Client]:
    """Open a client for a server's address."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    limit = aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=600)
    async with aiohttp.ClientSession(base_url=url.rstrip("/") + "/", headers=headers, timeout=limit) as session:
        yield Client(session)


async def sign_in(url: str, email: str, password: str) -> str:
    """Get an access token."""
    async with open_client(url) as client:
        answer = await client.call("POST", "/api/v1/auth/token/", json={"email": email, "password": password})
        return str(answer["access"])


async def follow(client: Client, job_id: str, shown: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    """Ask for progress until the job has ended. Gives the last progress."""
    while True:
        progress: dict[str, Any] = await client.call("GET", f"/api/v1/claims/csv-jobs/{job_id}/progress/")
        shown(progress)
        if progress["status"] in FINAL:
            return progress
        await asyncio.sleep(POLL_SECONDS)


def upload(
    file: Annotated[Path, typer.Argument(help="The file to send.", exists=True, dir_okay=False, readable=True)],
    url: Annotated[str, typer.Option(help="Address of the Rowmill.", envvar="ROWMILL_URL")] = "http://127.0.0.1:8000",
    kind: Annotated[str, typer.Option(help="What a row means.")] = "claim_status",
    sheet: Annotated[str, typer.Option(help="The sheet of a workbook; else the first one with data.")] = "",
    token: Annotated[str, typer.Option(help="API access token.", envvar="ROWMILL_TOKEN")] = "",
    email: Annotated[str, typer.Option(help="Sign in instead of a token.", envvar="ROWMILL_EMAIL")] = "",
    password: Annotated[str, typer.Option(help="Asked for when missing.", envvar="ROWMILL_PASSWORD")] = "",
    wait: Annotated[bool, typer.Option(help="Wait until the job has ended and save its results.")] = False,
    out: Annotated[Path | None, typer.Option("-o", "--out", help="Where to save the results.")] = None,
    confirm_duplicate: Annotated[bool, typer.Option(help="Run it even if the same file came within a day.")] = False,
) -> None:
    """Send a file and start its job. With `--wait`, follow it and save a result for every row.

    Exit: 0 done, 1 the file was refused or the job failed, 2 wrong usage or no connection.
    """
    if kind not in UPLOAD_PATHS:
        raise typer.BadParameter(f"--kind takes {', '.join(UPLOAD_PATHS)}.")
    if not token and not email:
        raise typer.BadParameter("Give --token, or --email to sign in.")
    if not token and not password:
        password = typer.prompt("Password", hide_input=True)
    target = out or file.with_name(f"{file.stem}-results.csv")
    try:
        code = asyncio.run(_upload(file, url, kind, token, (email, password), wait, target, confirm_duplicate, sheet))
    except aiohttp.ClientError as error:
        typer.echo(
            f"rowmill: no connection to {url} ({type(error).__name__}). Is `rowmill up` running there?", err=True
        )
        code = 2
    raise typer.Exit(code)


async def _upload(
    file: Path,
    url: str,
    kind: str,
    token: str,
    person: tuple[str, str],
    wait: bool,
    out: Path,
    confirm: bool,
    sheet: str,
) -> int:
    """Send, follow, save; print what happens."""
    from rowmill.cli.bars import job_bar, print_problem, upload_bar

    try:
        token = token or await sign_in(url, *person)
        async with open_client(url, token) as client:
            with upload_bar(file.stat().st_size) as seen:
                fields = {"confirm_duplicate": "true"} if confirm else {}
                if sheet:
                    fields["sheet"] = sheet
                job = await client.send_file(UPLOAD_PATHS[kind], file, fields, seen)
            typer.echo(f"Job {job['id']}: {job['total_rows']:,} rows.")
            if not wait:
                return 0
            with job_bar(job["total_rows"]) as shown:
                last = await follow(client, job["id"], shown)
            await client.save(f"/api/v1/claims/csv-jobs/{job['id']}/results/", out)
    except Refused as refused:
        print_problem(refused.problem, str(refused))
        return 1
    counts = " · ".join(f"{count:,} {word.replace('_', ' ')}" for word, count in last["outcomes"].items() if count)
    typer.echo(f"{last['status']}: {counts}. Results in {out}")
    return 0 if last["status"] == "COMPLETED" else 1
