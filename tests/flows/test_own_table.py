"""A kind with a table of its own from outside the package (samples/provider_directory), by the settings alone: the whole flow."""

from __future__ import annotations

import contextlib
import http.cookiejar
import os
import re
import subprocess
import sys
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.crash.database import open_read_only
from tests.crash.inside import EMAIL, PASSWORD
from tests.crash.server import Server, multipart, provided, wait_for
from tests.servers.postgres import Postgres, find_programs

pytestmark = pytest.mark.slow

SAMPLES = Path(__file__).parents[2] / "samples"
OUTSIDE = {
    "PYTHONPATH": os.pathsep.join([str(SAMPLES.parent), str(SAMPLES)]),
    "ROWMILL_APPS": "provider_directory",
    "ROWMILL_KINDS": "providers=provider_directory.kinds.Providers",
}
HEADER = "Provider Number,Name,State,Panel Size,Verified On,Colour"
FIRST = [
    "1234567893,Ann Oak,TX,1200,2026-01-31,blue",
    "1003000126,Ben Elm,CA,,,",
    "1234567894,Wrong digit,TX,,,",  # its check digit is wrong
    "1245319599,,NY,5,,",  # a name is needed
    "1003000126,Ben Elm-Ash,CA,7,,",  # the same one again
]
THERE = [("1003000126", "Ben Elm-Ash", "CA", 7), ("1234567893", "Ann Oak", "TX", 1200)]


@pytest.fixture(params=["sqlite", "postgres"])
def server(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    if request.param == "postgres" and find_programs() is None:
        pytest.skip("Postgres is not installed: make system")
    monkeypatch.delenv("DATABASE_URL", raising=False)
    with Postgres() if request.param == "postgres" else contextlib.nullcontext() as postgres:
        if postgres is not None:
            monkeypatch.setenv("DATABASE_URL", postgres.url())
        # What is there before knows nothing of the app: it comes in by the settings of a running installation.
        with provided(tmp_path, "http://127.0.0.1:9", "http://127.0.0.1:9", **OUTSIDE) as made:
            made.start()
            yield made


def in_table(server: Server) -> list[tuple[Any, ...]]:
    database = open_read_only(server.data_dir)
    try:
        rows = database.execute("SELECT npi, name, state, panel_size FROM provider_directory_provider ORDER BY npi")
        return [tuple(row[place] for place in range(4)) for row in rows.fetchall()]
    finally:
        database.close()


def as_file(lines: list[str]) -> bytes:
    return "".join(f"{line}\n" for line in (HEADER, *lines)).encode()


def send(server: Server, data: bytes) -> str:
    """Send a file that waits for somebody to look at its columns. Gives the upload's id."""
    begun = server.call(
        "POST",
        "/api/upload/init/",
        {"fileName": "p.csv", "fileSize": len(data), "totalChunks": 1, "kind": "providers", "review": True},
    )
    headers, body = multipart(data, {"uploadId": begun["uploadId"], "chunkIndex": "0"})
    server.call("POST", "/api/upload/chunk/", body.replace(b'name="file"', b'name="chunk"', 1), headers)
    server.call("POST", "/api/upload/complete/", {"uploadId": begun["uploadId"]})
    address = f"/api/upload/progress/?uploadId={begun['uploadId']}"
    wait_for(lambda: server.call("GET", address)["importStatus"] == "REVIEW", 60, "the file is not judged")
    return str(begun["uploadId"])


def upload(server: Server, file: Path, lines: list[str], header: str = HEADER) -> str:
    """Import by the command line. Gives what it said."""
    file.write_bytes("".join(f"{line}\n" for line in (header, *lines)).encode())
    command = [sys.executable, "-m", "rowmill", "upload", str(file), "--url", server.url, "--kind", "providers"]
    command += ["--token", server.token, "--wait", "--go-ahead", "--confirm-duplicate"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, "COLUMNS": "200"})
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_whole_flow_of_a_table_from_outside(server: Server, tmp_path: Path):
    upload_id = send(server, as_file(FIRST))
    mapping = server.call("GET", f"/api/v1/uploads/{upload_id}/mapping/")
    assert mapping["missing_keys"] == ["npi"]
    places = {column["header"]: column["position"] for column in mapping["columns"]}
    told = {column["field"]: column["position"] for column in mapping["columns"] if column["field"]}
    mapping = server.call(
        "PUT", f"/api/v1/uploads/{upload_id}/mapping/", {"mapping": {**told, "npi": places["Provider Number"]}}
    )
    assert [bool(row["problem"]) for row in mapping["first_rows"]] == [False, False, True, True, False]
    effect: dict[str, Any] = server.call("POST", f"/api/v1/uploads/{upload_id}/effect/", {"duplicates": "update"})
    wait_for(
        lambda: effect.update(server.call("GET", f"/api/v1/uploads/{upload_id}/effect/")) or effect["state"] == "DONE",
        60,
        "the effect is not known",
    )
    assert (effect["inserted"], effect["duplicate_rows"], effect["rejected"]) == (2, 1, 2)
    job = server.call("POST", f"/api/v1/uploads/{upload_id}/import/", {})["id"]
    done = server.wait(job)
    expected = {"inserted": 2, "updated": 0, "unchanged": 1, "duplicates": 1, "rejected": 2}
    assert (done["status"], done["merged"]) == ("COMPLETED", expected)
    assert in_table(server) == THERE
    results = server.save_results(job, tmp_path / "results.csv").read_text(encoding="utf-8-sig").splitlines()
    assert results[0].startswith("row,npi,success,error,note")

    said = upload(server, tmp_path / "again.csv", FIRST)  # the columns are mapped as they were before
    assert "COMPLETED: 3 unchanged · 2 rejected." in said
    said = upload(server, tmp_path / "more.csv", ["1234567893,Ann Oak,TX,1300,,", "1245319599,Cleo Fir,NY,,,"])
    assert "COMPLETED: 1 inserted · 1 updated." in said
    assert len(in_table(server)) == 3
    later = re.search(r"Job ([0-9a-f-]{36})", said)
    assert later is not None
    server.call("POST", f"/api/v1/jobs/{later[1]}/undo/", {})
    wait_for(lambda: in_table(server) == THERE, 60, "the undo did not restore the table")
    see_pages(server, upload_id, job, later[1])


def see_pages(server: Server, upload_id: str, *jobs: str) -> None:
    """The pages speak of providers, and lead to no contact."""
    opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar()))
    form = opener.open(f"{server.url}/accounts/login/", timeout=120).read().decode()
    token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', form)
    assert token is not None
    data = urllib.parse.urlencode({"csrfmiddlewaretoken": token[1], "login": EMAIL, "password": PASSWORD}).encode()
    opener.open(f"{server.url}/accounts/login/", data, timeout=120).close()
    addresses = [f"/uploads/{upload_id}/{step}" for step in ("", "mapping", "effect")]
    for address in ("/bulk-upload?kind=providers", *addresses, *(f"/jobs/{job}/" for job in jobs)):
        page = opener.open(server.url + address, timeout=120).read().decode()
        content = page.partition('<main id="content"')[2]
        assert content, address
        assert not re.search(r'href="/contacts/', content), address
        assert "Apollo" not in content
    table = opener.open(f"{server.url}/tables/providers/", timeout=120).read().decode()
    assert "Ben Elm-Ash" in table
    assert "p.csv</a>, line " in table
    assert "Kept besides" in table
    rows = opener.open(f"{server.url}/tables/providers/rows.csv", timeout=120).read().decode("utf-8-sig")
    assert (
        rows.splitlines()[0]
        == "npi,name,specialty,phone,city,state,takes_new_patients,panel_size,visit_fee,verified_on,extra"
    )
    assert '"{""Colour"": ""blue""}"' in rows
    again = upload(server, Path(server.data_dir) / "home.csv", rows.splitlines()[1:], rows.splitlines()[0])
    assert "COMPLETED: 2 unchanged." in again
    upload_page = opener.open(f"{server.url}/bulk-upload?kind=providers", timeout=120).read().decode()
    assert "Drop a file of providers" in upload_page
    assert "sample.csv" not in upload_page
    template = opener.open(f"{server.url}/bulk-upload/template.csv?kind=providers", timeout=120).read().decode()
    assert template.startswith("npi,name,specialty")


def test_its_migrations_say_what_its_models_say(tmp_path: Path):
    command = [sys.executable, "-m", "django", "makemigrations", "provider_directory", "--check", "--dry-run"]
    environment = {**os.environ, **OUTSIDE, "ROWMILL_DATA_DIR": str(tmp_path)}
    environment["DJANGO_SETTINGS_MODULE"] = "rowmill.settings"
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
