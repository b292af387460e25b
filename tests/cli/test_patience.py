"""How the sender of a large file bears what comes: a made-up door that misbehaves on purpose."""

from __future__ import annotations

import asyncio
import hashlib
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from rowmill.cli import sending
from rowmill.cli.bars import Bar, upload_bar
from rowmill.cli.client import Client, Person, Refused, open_client
from rowmill.cli.sending import Patience, Sender, make_fingerprint

CHUNK = 1000
DATA = bytes(range(256)) * 40


class Door:
    """The five calls, as product.md B1 has them. `trouble(verb, number)` may answer in their place."""

    def __init__(self) -> None:
        self.chunks: dict[int, bytes] = {}
        self.calls: Counter[str] = Counter()
        self.sessions = 0
        self.tokens = {"first"}
        self.troubles: dict[tuple[str, int], Callable[[], web.Response]] = {}
        self.sha256 = ""
        self.cancelled = False

    async def answer(self, request: web.Request) -> web.Response:
        """Answer whatever comes."""
        verb = request.match_info["verb"]
        form = await request.post()
        if request.headers.get("Authorization", "").removeprefix("Bearer ") not in self.tokens:
            return problem(401, "token_not_valid")
        self.calls[verb] += 1
        if (verb, self.calls[verb]) in self.troubles:
            return self.troubles[(verb, self.calls[verb])]()
        told = {} if verb == "chunk" else await request.json()
        return await getattr(self, verb)(told, form)

    async def token(self, request: web.Request) -> web.Response:
        """Sign in."""
        self.calls["token"] += 1
        self.tokens = {f"token-{self.calls['token']}"}
        return web.json_response({"access": f"token-{self.calls['token']}", "refresh": "-"})

    async def init(self, told: dict[str, Any], form: Any) -> web.Response:
        """Begin, or go on."""
        self.sessions += not self.chunks
        there = {"uploadId": f"u{self.sessions}", "s3Key": "key", "chunkSize": CHUNK}
        return web.json_response({**there, "receivedChunks": sorted(self.chunks)})

    async def chunk(self, told: dict[str, Any], form: Any) -> web.Response:
        """Take a chunk."""
        data = form["chunk"].file.read()
        assert hashlib.sha256(data).hexdigest() == form["sha256"]
        self.chunks[int(form["chunkIndex"])] = data
        return web.json_response({})

    async def complete(self, told: dict[str, Any], form: Any) -> web.Response:
        """Put it together."""
        whole = b"".join(self.chunks[index] for index in sorted(self.chunks))
        return web.json_response({"sha256": self.sha256 or hashlib.sha256(whole).hexdigest()})

    async def cancel(self, told: dict[str, Any], form: Any) -> web.Response:
        """Drop it."""
        self.cancelled = True
        self.chunks.clear()
        return web.json_response({})


def problem(status: int, code: str, **more: Any) -> web.Response:
    headers = {"Retry-After": "0"} if status == 429 else None
    return web.json_response({"code": code, "detail": "planned", **more}, status=status, headers=headers)


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(sending, "LONGEST_WAIT_SECONDS", 0.01)
    path = tmp_path / "claims.csv"
    path.write_bytes(DATA)
    return path


def through(door: Door, use: Callable[[Client, Bar], Awaitable[Any]], person: Person | str = "first") -> Any:
    """Run a client against the door."""

    async def run() -> Any:
        app = web.Application()
        app.router.add_post("/api/v1/auth/token/", door.token)
        app.router.add_post("/api/upload/{verb}/", door.answer)
        runner = web.AppRunner(app)
        await runner.setup()
        try:
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            port = site._server.sockets[0].getsockname()[1]  # type: ignore[union-attr]
            with upload_bar(len(DATA)) as bar:
                async with open_client(f"http://127.0.0.1:{port}", person) as client:
                    return await use(client, bar)
        finally:
            await runner.cleanup()

    return asyncio.run(run())


def send(door: Door, file: Path, person: Person | str = "first", parallel: int = 3) -> str:
    return str(through(door, lambda client, bar: Sender(client, file, {}, parallel, bar).send(), person))


@pytest.mark.parametrize("parallel", [1, 4])
def test_every_byte_arrives_once(file: Path, parallel: int):
    door = Door()
    assert send(door, file, parallel=parallel) == "u1"
    assert b"".join(door.chunks[index] for index in range(len(door.chunks))) == DATA
    assert door.calls["chunk"] == -(-len(DATA) // CHUNK)


def test_only_what_is_missing_is_sent(file: Path):
    door = Door()
    door.chunks = {index: DATA[index * CHUNK : (index + 1) * CHUNK] for index in (0, 3, 10)}
    send(door, file)
    assert door.calls["chunk"] == -(-len(DATA) // CHUNK) - 3


@pytest.mark.parametrize("verb", ["chunk", "complete"])
@pytest.mark.parametrize(
    ("status", "code"),
    [
        (429, "throttled"),
        (500, "server_error"),
        (503, "database_down"),
        (409, "in_progress"),
        (400, "checksum_mismatch"),
    ],
)
def test_what_may_pass_is_tried_again(file: Path, verb: str, status: int, code: str):
    door = Door()
    door.troubles = {(verb, number): lambda: problem(status, code) for number in (1, 2)}
    send(door, file)
    assert b"".join(door.chunks[index] for index in sorted(door.chunks)) == DATA


@pytest.mark.parametrize(("status", "code"), [(409, "chunk_differs"), (403, "quota_exceeded"), (507, "out_of_space")])
def test_what_does_not_pass_is_not_tried_again(file: Path, status: int, code: str):
    door = Door()
    door.troubles = {("chunk", number): lambda: problem(status, code) for number in range(1, 20)}
    with pytest.raises(Refused) as refused:
        send(door, file, parallel=1)
    assert refused.value.problem["code"] == code
    assert door.calls["chunk"] == 1


def test_a_token_that_runs_out_is_renewed_once_for_all(file: Path):
    door = Door()

    def expire() -> web.Response:
        door.tokens = {"none"}
        return problem(401, "token_not_valid")

    door.troubles = {("chunk", 4): expire}
    send(door, file, Person("first", "ada@clinic.test", "a-long-password"))
    assert door.calls["token"] == 1
    assert b"".join(door.chunks[index] for index in sorted(door.chunks)) == DATA


def test_a_bare_token_that_runs_out_is_told(file: Path):
    door = Door()
    door.troubles = {("chunk", 4): lambda: problem(401, "token_not_valid")}
    with pytest.raises(Refused) as refused:
        send(door, file)
    assert refused.value.status == 401


def test_chunks_that_the_server_misses_are_sent_again(file: Path):
    door = Door()

    def lose() -> web.Response:
        del door.chunks[2]
        return problem(409, "chunk_missing", missing=[2])

    door.troubles = {("complete", 1): lose}
    send(door, file)
    assert door.calls["chunk"] == -(-len(DATA) // CHUNK) + 1
    assert b"".join(door.chunks[index] for index in sorted(door.chunks)) == DATA


def test_a_session_that_ran_out_is_begun_anew(file: Path):
    door = Door()

    def expire() -> web.Response:
        door.chunks.clear()
        return problem(410, "expired")

    door.troubles = {("chunk", 5): expire}
    assert send(door, file, parallel=1) == "u2"
    assert b"".join(door.chunks[index] for index in sorted(door.chunks)) == DATA


def test_another_hash_at_the_server_is_refused(file: Path):
    door = Door()
    door.sha256 = "0" * 64
    with pytest.raises(Refused) as refused:
        send(door, file)
    assert refused.value.problem["code"] == "hash_mismatch"


def test_a_file_that_changes_meanwhile_is_refused(file: Path):
    door = Door()

    def change() -> web.Response:
        file.write_bytes(DATA[::-1])
        return web.json_response({})

    door.troubles = {("chunk", 1): change}
    with pytest.raises(Refused) as refused:
        send(door, file, parallel=1)
    assert refused.value.problem["code"] == "file_changed"
    assert door.calls["complete"] == 0


def test_what_a_stop_leaves_is_told_in_words(file: Path):
    door = Door()

    async def stages(client: Client, bar: Bar) -> list[str]:
        sender = Sender(client, file, {}, 1, bar)
        before = sender.left()
        door.troubles = {("chunk", 3): lambda: problem(507, "out_of_space")}
        with pytest.raises(Refused):
            await sender.send()
        halfway = sender.left()
        await sender.send()
        return [before, halfway, sender.left()]

    before, halfway, after = through(door, stages)
    assert before == ""
    assert halfway.startswith("2 of 11 chunks are there.")
    assert "run the same command again" in halfway
    assert after.startswith("The whole file is there")


def test_abandoning_drops_what_is_there(file: Path):
    door = Door()
    door.chunks = {0: DATA[:CHUNK], 1: DATA[CHUNK : 2 * CHUNK]}
    words = through(door, lambda client, bar: Sender(client, file, {}, 1, bar).abandon())
    assert door.cancelled
    assert "2 of 11 chunks" in words


def test_a_file_is_known_again_until_it_changes(file: Path):
    first = make_fingerprint(file)
    assert make_fingerprint(file) == first
    file.write_bytes(DATA[:-1] + b"?")
    assert make_fingerprint(file) != first


def test_nobody_at_the_first_call_is_told_at_once():
    tries = 0

    async def nobody() -> None:
        nonlocal tries
        tries += 1
        raise aiohttp.ClientConnectionError

    with pytest.raises(aiohttp.ClientConnectionError):
        asyncio.run(Patience(lambda _: None).keep_on(nobody))
    assert tries == 1


def test_patience_ends():
    tries = 0

    async def once() -> str:
        nonlocal tries
        tries += 1
        if tries > 1:
            raise TimeoutError
        return "yes"

    async def run() -> None:
        patience = Patience(lambda _: None, seconds=0)
        assert await patience.keep_on(once) == "yes"
        await patience.keep_on(once)

    with pytest.raises(TimeoutError):
        asyncio.run(run())
    assert tries >= 2


def test_the_words_of_a_problem_that_is_no_json():
    assert "502" in str(Refused(502, {}))
