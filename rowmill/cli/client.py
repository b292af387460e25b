"""The command that sends a file to a Rowmill over its API, and the small client behind it and the demo."""

from __future__ import annotations

import asyncio
import io
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import aiohttp
import typer

from rowmill.errors import RowmillError

if TYPE_CHECKING:
    from rowmill.cli.sending import Sender

POLL_SECONDS = 1.0
FINAL = {"COMPLETED", "FAILED", "CANCELLED"}
UPLOAD_PATHS = {"claim_status": "/api/v1/claims/bulk/upload/"}
TOKEN_PATH = "/api/v1/auth/token/"  # noqa: S105
STOPPED_BY_PERSON = 130
WAITS_FOR_PERSON = 3
MAY_GO_ON = {401, 429, 500, 502, 503, 504, 507}  # what is no fault of the file: what is there of it can be used


class Refused(RowmillError):
    """The server refused the request. `problem` is its answer."""

    code = "refused"

    def __init__(self, status: int, problem: dict[str, Any], retry_after: str = "") -> None:
        super().__init__(str(problem.get("detail") or problem.get("title") or f"The server answered {status}."))
        self.status = status
        self.problem = problem
        self.retry_after_seconds = float(retry_after) if retry_after.isdigit() else 0.0


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


@dataclass
class Person:
    """Who signs in, and their access token, which lives for minutes: a large file or a long job takes more than one."""

    token: str = ""
    email: str = ""
    password: str = field(default="", repr=False)
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock, repr=False)

    async def renew(self, session: aiohttp.ClientSession, stale: str) -> bool:
        """Get a new token in place of one that the server no longer takes. Gives False without a password for it."""
        async with self._turn:
            if self.token != stale:
                return True
            if not self.password:
                return False
            person = {"email": self.email, "password": self.password}
            async with session.post(TOKEN_PATH, json=person) as answer:
                await _need_good(answer)
                self.token = str((await answer.json())["access"])
            return True


class Client:
    """Talks to one Rowmill for one person."""

    def __init__(self, session: aiohttp.ClientSession, person: Person) -> None:
        self._session = session
        self._person = person

    async def call(self, method: str, path: str, *, form: Callable[[], Any] | None = None, **arguments: Any) -> Any:
        """Make a call, once more with a new token where the old one has run out. `form` makes its body anew each time.

        Shape: parsed JSON, or bytes. Raises: Refused.
        """
        try:
            return await self._call(method, path, form, arguments)
        except Refused as refused:
            if refused.status != 401 or not await self._person.renew(self._session, refused.details["token"]):
                raise
        return await self._call(method, path, form, arguments)

    async def _call(self, method: str, path: str, form: Callable[[], Any] | None, arguments: dict[str, Any]) -> Any:
        """Make a call with the token that there is now."""
        body = {"data": form()} if form else {}
        token = self._person.token
        async with self._session.request(method, path, headers=self._headers(), **body, **arguments) as answer:
            await _need_good(answer, token)
            return await answer.json() if "json" in answer.content_type else await answer.read()

    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self._person.token}"} if self._person.token else {}

    async def send_file(
        self, path: str, file: Path, fields: dict[str, str], seen: Callable[[int], None]
    ) -> dict[str, Any]:
        """Post a file as multipart."""

        def form() -> aiohttp.FormData:
            made = aiohttp.FormData(fields)
            made.add_field("file", _Counting(file, seen), filename=file.name, content_type="application/octet-stream")
            return made

        answer: dict[str, Any] = await self.call("POST", path, form=form)
        return answer

    async def save(self, path: str, out: Path) -> int:
        """Stream an answer into a file. Gives its bytes."""
        async with self._session.get(path, headers=self._headers()) as answer:
            await _need_good(answer)
            with out.open("wb") as target:
                async for block in answer.content.iter_chunked(1 << 16):
                    target.write(block)
                return target.tell()


async def _need_good(answer: aiohttp.ClientResponse, token: str = "") -> None:
    """Raises: Refused, with the problem and the token that was refused."""
    if answer.status >= 400:
        parsed = await answer.json() if "json" in answer.content_type else {}
        refused = Refused(
            answer.status, parsed if isinstance(parsed, dict) else {}, answer.headers.get("Retry-After", "")
        )
        refused.details["token"] = token
        raise refused


@asynccontextmanager
async def open_client(url: str, person: Person | str = "") -> AsyncIterator[Client]:
    """Open a client for a server's address, for a person or with a bare token."""
    limit = aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=600)
    async with aiohttp.ClientSession(base_url=url.rstrip("/") + "/", timeout=limit) as session:
        yield Client(session, Person(token=person) if isinstance(person, str) else person)


async def sign_in(url: str, email: str, password: str) -> str:
    """Get an access token."""
    async with open_client(url) as client:
        answer = await client.call("POST", TOKEN_PATH, json={"email": email, "password": password})
        return str(answer["access"])


async def follow(client: Client, job_id: str, shown: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    """Ask for progress until the job has ended. Gives the last progress."""
    while True:
        progress: dict[str, Any] = await client.call("GET", f"/api/v1/claims/csv-jobs/{job_id}/progress/")
        shown(progress)
        if progress["status"] in FINAL:
            return progress
        await asyncio.sleep(POLL_SECONDS)


@dataclass
class Wanted:
    """What the command was asked for."""

    file: Path
    url: str
    kind: str
    person: Person
    out: Path
    options: dict[str, str]
    wait: bool = False
    go_ahead: bool = False
    resumable: bool = False
    parallel: int = 4
    abandon: bool = False
    from_stdin: bool = False
    sender: Sender | None = None


def upload(
    file: Annotated[Path, typer.Argument(help="The file to send; - is standard input.", dir_okay=False, readable=True)],
    url: Annotated[str, typer.Option(help="Address of the Rowmill.", envvar="ROWMILL_URL")] = "http://127.0.0.1:8000",
    kind: Annotated[str, typer.Option(help="What a row means, such as contact_import.")] = "claim_status",
    sheet: Annotated[str, typer.Option(help="The sheet of a workbook; else the first one with data.")] = "",
    token: Annotated[str, typer.Option(help="API access token.", envvar="ROWMILL_TOKEN")] = "",
    email: Annotated[str, typer.Option(help="Sign in instead of a token.", envvar="ROWMILL_EMAIL")] = "",
    password: Annotated[str, typer.Option(help="Asked for when missing.", envvar="ROWMILL_PASSWORD")] = "",
    wait: Annotated[bool, typer.Option(help="Wait until the job has ended and save its results.")] = False,
    out: Annotated[Path | None, typer.Option("-o", "--out", help="Where to save the results.")] = None,
    confirm_duplicate: Annotated[bool, typer.Option(help="Run it even if the same file came within a day.")] = False,
    duplicates: Annotated[
        str, typer.Option(help="Of contacts that are there already: update, blanks, newest or skip.")
    ] = "",
    go_ahead: Annotated[
        bool, typer.Option("--go-ahead", help="Of contacts: import, however much of what is there it changes.")
    ] = False,
    resumable: Annotated[
        bool, typer.Option("--resumable", help="Send in chunks, whatever the size. Files above 8 MiB are anyway.")
    ] = False,
    parallel: Annotated[int, typer.Option(help="Chunks on the way at a time.", min=1, max=16)] = 4,
    abandon: Annotated[
        bool, typer.Option("--abandon", help="Send nothing; drop what an earlier run left unfinished.")
    ] = False,
) -> None:
    """Send a file and start its job. With `--wait`, follow it and save a result for every row.

    A large file goes up in chunks. After a break, or Ctrl-C, run the same command again: it goes on where it stopped.

    Exit: 0 done, 1 the file was refused or the job failed, 2 wrong usage or no connection, 3 the file is there and waits
    for a person's go-ahead, 130 stopped by Ctrl-C.
    """
    if kind in UPLOAD_PATHS and (go_ahead or duplicates):
        raise typer.BadParameter("--go-ahead and --duplicates are for files that are merged with what is there.")
    if not token and not email:
        raise typer.BadParameter("Give --token, or --email to sign in.")
    from_stdin = str(file) == "-"
    if not from_stdin and not file.exists():
        raise typer.BadParameter(f"There is no file {file}.")
    if from_stdin and (resumable or abandon):
        raise typer.BadParameter("Standard input cannot be read a second time, so it is not resumable. Name a file.")
    if not token and not password:
        password = typer.prompt("Password", hide_input=True)
    options = {"confirm_duplicate": "true"} if confirm_duplicate else {}
    options |= {name: text for name, text in (("sheet", sheet), ("duplicates", duplicates)) if text}
    options |= {"goAhead": "true"} if go_ahead else {}
    person = Person("", email, password) if not token else Person(token)
    with _readable(file) as path:
        target = out or (Path("stdin-results.csv") if from_stdin else file.with_name(f"{file.stem}-results.csv"))
        wanted = Wanted(
            path, url, kind, person, target, options, wait, go_ahead, resumable, parallel, abandon, from_stdin
        )
        code = _run(wanted)
    raise typer.Exit(code)


@contextmanager
def _readable(file: Path) -> Iterator[Path]:
    """Give a path that can be read twice: standard input is copied to a file that goes away again."""
    if str(file) != "-":
        yield file
        return
    typer.echo("Standard input is not resumable: if this stops, send it again from its start.", err=True)
    with tempfile.TemporaryDirectory(prefix="rowmill-upload-") as folder:
        path = Path(folder) / "stdin.csv"
        with path.open("wb") as copy:
            shutil.copyfileobj(sys.stdin.buffer, copy, 1 << 20)
        yield path


def _run(wanted: Wanted) -> int:
    """Do what was asked for. Gives the exit code; whatever stops it is told in words."""
    from rowmill.cli.awaiting import WaitsForPerson
    from rowmill.cli.bars import print_problem, print_stop, print_waiting

    try:
        return asyncio.run(_upload(wanted))
    except WaitsForPerson as waits:
        print_waiting(str(waits), wanted.url.rstrip("/") + waits.page)
        return WAITS_FOR_PERSON
    except Refused as refused:
        print_problem(refused.problem, str(refused))
        code = 2 if refused.problem.get("code") == "bad_option" else 1
        if refused.status not in MAY_GO_ON:
            return code
    except KeyboardInterrupt:
        typer.echo("Stopped.", err=True)
        code = STOPPED_BY_PERSON
    except (aiohttp.ClientError, ConnectionError, TimeoutError) as error:
        typer.echo(
            f"rowmill: no connection to {wanted.url} ({type(error).__name__}). Is `rowmill up` running there?", err=True
        )
        code = 2
    if wanted.sender is not None and not wanted.from_stdin:
        print_stop(wanted.sender.left())
    return code


async def _upload(wanted: Wanted) -> int:
    """Send, follow, save; print what happens."""
    from rowmill.cli.bars import job_bar

    person = wanted.person
    if not person.token:
        person.token = await sign_in(wanted.url, person.email, person.password)
    async with open_client(wanted.url, person) as client:
        job = await _send(client, wanted)
        if job is None:
            return 0
        typer.echo(f"Job {job['id']}: {job['total_rows']:,} rows.")
        if not wanted.wait:
            return 0
        with job_bar(job["total_rows"]) as shown:
            last = await follow(client, job["id"], shown)
        await client.save(f"/api/v1/claims/csv-jobs/{job['id']}/results/", wanted.out)
    told = dict(last.get("merged") or last["outcomes"])
    told.pop("duplicates", None)  # they are among the unchanged
    counts = " · ".join(f"{count:,} {word.replace('_', ' ')}" for word, count in told.items() if count)
    typer.echo(f"{last['status']}: {counts}. Results in {wanted.out}")
    return 0 if last["status"] == "COMPLETED" else 1


async def _send(client: Client, wanted: Wanted) -> dict[str, Any] | None:
    """Send the file through the door that fits it. Gives the job; None where there is none to follow."""
    from rowmill.cli.awaiting import await_job, find_waiting
    from rowmill.cli.bars import upload_bar
    from rowmill.cli.sending import RESUMABLE_BYTES, Sender

    size = wanted.file.stat().st_size
    if wanted.kind in UPLOAD_PATHS and not (wanted.resumable or wanted.abandon or size > RESUMABLE_BYTES):
        with upload_bar(size) as bar:
            return await client.send_file(UPLOAD_PATHS[wanted.kind], wanted.file, wanted.options, bar.advance)
    if wanted.go_ahead and not wanted.abandon:
        waiting = await find_waiting(client, wanted.file, wanted.kind, wanted.options.get("sheet", ""))
        if waiting:
            typer.echo("These bytes are there already and wait for a go-ahead, so nothing is sent.")
            policy = wanted.options.get("duplicates", "")
            return await await_job(client, waiting, go_ahead=True, duplicates=policy)
    with upload_bar(size) as bar:
        sender = Sender(client, wanted.file, {"kind": wanted.kind, **wanted.options}, wanted.parallel, bar)
        if wanted.abandon:
            typer.echo(await sender.abandon())
            return None
        wanted.sender = sender
        upload_id = await sender.send()
        return await await_job(client, upload_id, go_ahead=wanted.go_ahead, say=bar.say)
