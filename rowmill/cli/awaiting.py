"""After a file has been sent: waits for its verdict and for its job, and gives the go-ahead where that was said."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from rowmill.cli.client import Client, Refused
from rowmill.cli.sending import Patience
from rowmill.errors import RowmillError

VERDICT_SECONDS = 0.5
MOST_EFFECTS = 3  # one that fails so often is not asked for again


class WaitsForPerson(RowmillError):
    """The file is there and sound, and nothing is imported until a person says so. `page` is where that is done."""

    def __init__(self, words: str, page: str) -> None:
        super().__init__(words)
        self.page = page


async def find_waiting(client: Client, file: Path, kind: str, sheet: str) -> str:
    """Give the upload of these bytes that waits for a go-ahead already; "" where there is none, so that the file is sent."""
    with file.open("rb") as opened:
        digest = await asyncio.to_thread(hashlib.file_digest, opened, "sha256")
    asked = {"sha256": digest.hexdigest(), "kind": kind}
    try:
        found = await client.call("GET", "/api/v1/uploads/waiting/", params=asked)
    except Refused as refused:
        if refused.status != 404:  # an older server knows of no such address
            raise
        return ""
    return next((str(one["id"]) for one in found if one["sheet"] == sheet), "")


async def await_job(
    client: Client,
    upload_id: str,
    *,
    go_ahead: bool = False,
    duplicates: str = "",
    say: Callable[[str], None] = lambda _words: None,
) -> dict[str, Any]:
    """Wait for the verdict on an upload and for its job. `say` hears what takes a while.

    `duplicates`: the policy of an import that is asked for here; "" for the one that the file was sent with.

    Raises: Refused, with the findings where it is not sound; WaitsForPerson.
    """
    patience = Patience(lambda _words: None)
    asked = 0

    async def ask(path: str) -> Any:
        return await patience.keep_on(partial(client.call, "GET", path))

    while True:
        found = await ask(f"/api/upload/progress/?uploadId={upload_id}")
        status = found["importStatus"]
        if found["jobId"]:
            job: dict[str, Any] = await ask(f"/api/v1/claims/csv-jobs/{found['jobId']}/")
            return job
        if status == "DUPLICATE":
            raise Refused(409, {"detail": "The same bytes were taken in before.", "code": "duplicate_file"})
        if status == "REVIEW":
            raise WaitsForPerson(
                "Somebody is to say which of this file's columns are which.", f"/uploads/{upload_id}/mapping"
            )
        if status == "EFFECT":
            say("working out what the import would change")
        if status == "GO_AHEAD" or (status == "EFFECT" and go_ahead):
            asked += 1
            told = {"go_ahead": go_ahead, **({"duplicates": duplicates} if duplicates else {})}
            await _ask_import(client, upload_id, told, last=asked >= MOST_EFFECTS)
        if status == "REJECTED" or found["status"] in {"cancelled", "expired"}:
            listed = await ask(f"/api/v1/uploads/{upload_id}/findings/")
            raise Refused(0, _problem(listed["results"]))
        await asyncio.sleep(VERDICT_SECONDS)


async def _ask_import(client: Client, upload_id: str, told: dict[str, Any], *, last: bool) -> None:
    """Ask for the import of a file that waits. Raises: WaitsForPerson, with the server's number of what would change."""
    try:
        await client.call("POST", f"/api/v1/uploads/{upload_id}/import/", json=told)
    except Refused as refused:
        code = refused.problem.get("code")
        if code == "go_ahead_needed" or (code == "effect_needed" and last):
            raise WaitsForPerson(_shorten(refused), f"/uploads/{upload_id}/effect") from None
        if code not in {"effect_needed", "wrong_state"}:  # somebody else started it, which the next look will tell
            raise


def _shorten(refused: Refused) -> str:
    """Give the server's words without what they say to a script."""
    return str(refused).replace(" Look at its effect, then send it again with go_ahead.", "")


def _problem(findings: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Lay out a verdict as the door of whole files does."""
    words = "The file is not sound." if findings else "The file was dropped before it was checked."
    return {"detail": words, "code": "unsound_file", "findings": list(findings)}
