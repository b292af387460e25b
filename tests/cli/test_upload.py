"""`rowmill upload` against a running Rowmill and a simulated payer: real processes, real files."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from payersim.testing import Payer, running
from rowmill.claims.sample import make_claims

pytestmark = pytest.mark.slow

EMAIL, PASSWORD = "ada@clinic.test", "a-long-password-1"
PROVISION = """
import sys
from rowmill.cli.serving import prepare_database, set_up_django
set_up_django()
prepare_database()
from django.conf import settings
from rowmill.claims.accounts import seal_credentials
from rowmill.models import Org, PayerAccount, Practice
from rowmill.orgs import make_first_admin
make_first_admin(settings.ROWMILL_ADMIN_EMAIL, settings.ROWMILL_ADMIN_PASSWORD, settings.ROWMILL_ORG_NAME)
org = Org.objects.get()
Practice.objects.create(org=org, name="Clinic", tin="001234567")
account = PayerAccount(org=org, payer="UHC", base_url=sys.argv[1], token_url=sys.argv[2])
seal_credentials(account, "sim-client", "sim-secret")
account.save()
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("upload")


@pytest.fixture(scope="module")
def book(folder: Path) -> Path:
    make_claims(40, 4, folder / "claims.csv", folder / "book.jsonl")
    return folder / "book.jsonl"


@pytest.fixture(scope="module")
def payer(book: Path) -> Iterator[Payer]:
    with running("calm", book) as found:
        yield found


@pytest.fixture(scope="module")
def url(folder: Path, payer: Payer) -> Iterator[str]:
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("ROWMILL_", "DJANGO_"))},
        "ROWMILL_DATA_DIR": str(folder / "data"),
        "ROWMILL_ADMIN_EMAIL": EMAIL,
        "ROWMILL_ADMIN_PASSWORD": PASSWORD,
        "PYTHONUNBUFFERED": "1",
    }
    subprocess.run([sys.executable, "-c", PROVISION, payer.base_url, payer.token_url], env=environment, check=True)
    command = [sys.executable, "-m", "rowmill", "up", "--port", "0"]
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=log, text=True)
        assert server.stdout is not None
        first = server.stdout.readline()
        try:
            assert first.startswith("Rowmill is up: http://127.0.0.1:")
            yield first.split(": ", 1)[1].removesuffix("/bulk-upload\n")
        finally:
            server.send_signal(signal.SIGINT)
            assert server.wait(120) == 0
            server.stdout.close()


def upload(file: Path, url: str, *more: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "rowmill", "upload", str(file), "--url", url, *more],
        capture_output=True,
        text=True,
        env={**os.environ, "COLUMNS": "200", **environment},
        check=False,
    )


def test_a_file_goes_up_is_followed_and_its_results_are_saved(folder: Path, url: str, book: Path):
    out = folder / "results.csv"
    signed_in = ["--email", EMAIL, "--password", PASSWORD]
    sent = upload(folder / "claims.csv", url, *signed_in, "--wait", "-o", str(out))
    assert sent.returncode == 0, sent.stderr
    assert "40 rows." in sent.stdout
    assert "COMPLETED: " in sent.stdout
    expected = [json.loads(line)["expect"] for line in book.read_text(encoding="utf-8").splitlines()]
    with out.open(newline="", encoding="utf-8-sig") as file:
        got = list(csv.DictReader(file))
    assert [line["success"] == "True" for line in got] == [one["outcome"] == "ok" for one in expected]
    assert [line["error"].partition(":")[0] for line in got] == [one["code"] for one in expected]

    again = upload(folder / "claims.csv", url, *signed_in)
    assert again.returncode == 1
    assert "taken in before" in " ".join(again.stderr.split())
    confirmed = upload(folder / "claims.csv", url, *signed_in, "--confirm-duplicate")
    assert confirmed.returncode == 0


def test_a_refused_file_says_what_is_wrong_where(folder: Path, url: str):
    file = folder / "broken.csv"
    file.write_text((folder / "claims.csv").read_text(encoding="utf-8").replace(",", ',"', 7), encoding="utf-8")
    body = json.dumps({"email": EMAIL, "password": PASSWORD}).encode()
    request = urllib.request.Request(f"{url}/api/v1/auth/token/", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=120) as reply:
        token = json.loads(reply.read())["access"]
    refused = upload(file, url, "--wait", ROWMILL_TOKEN=token)
    assert refused.returncode == 1
    assert "Refused:" in refused.stderr
    assert "quote" in refused.stderr
    assert not (folder / "broken-results.csv").exists()


def test_a_wrong_password_is_told_in_words(folder: Path, url: str):
    refused = upload(folder / "claims.csv", url, "--email", EMAIL, "--password", "wrong")
    assert refused.returncode == 1
    assert "password is wrong" in " ".join(refused.stderr.split())


def test_nobody_there_is_two(folder: Path, book: Path):
    nobody = upload(folder / "claims.csv", "http://127.0.0.1:9", "--token", "x")
    assert nobody.returncode == 2
    assert "no connection" in nobody.stderr


def test_contacts_that_change_much_wait_for_a_go_ahead(folder: Path, url: str):
    signed_in = ["--email", EMAIL, "--password", PASSWORD, "--kind", "contact_import"]
    file = folder / "contacts.csv"

    def send(title: str, *more: str) -> tuple[subprocess.CompletedProcess[str], str]:
        rows = "".join(f"p{n}@example.org,Ann,{title}\n" for n in range(10))
        file.write_text(f"Email,First Name,Title\n{rows}", encoding="utf-8")
        done = upload(file, url, *signed_in, *more)
        return done, " ".join(done.stderr.split())

    first, _ = send("Nurse", "--wait")
    assert (first.returncode, "10 inserted" in first.stdout) == (0, True), first.stderr
    waits, words = send("Doctor")
    assert waits.returncode == 3
    assert "would change 10 that are there already: 100.0 %" in words
    assert f"{url}/uploads/" in words
    assert "--go-ahead" in words
    assert not waits.stdout
    skipped, _ = send("Doctor", "--duplicates", "skip", "--wait", "--confirm-duplicate")
    assert (skipped.returncode, "10 unchanged" in skipped.stdout) == (0, True), skipped.stderr
    held, _ = send("Matron")
    assert held.returncode == 3
    started, _ = send("Matron", "--go-ahead", "--wait")
    assert (started.returncode, "10 updated" in started.stdout) == (0, True), started.stderr
    assert "nothing is sent" in started.stdout
    held, _ = send("Porter")
    blanks, _ = send("Porter", "--go-ahead", "--duplicates", "blanks", "--wait")
    assert (held.returncode, blanks.returncode) == (3, 0)
    assert "nothing is sent" in blanks.stdout
    assert "10 unchanged" in blanks.stdout, "the policy is the one that was said last"
    told, _ = send("Surgeon", "--go-ahead", "--wait")
    assert "nothing is sent" not in told.stdout
    assert (told.returncode, "10 updated" in told.stdout) == (0, True), told.stderr


def test_a_kind_that_the_server_does_not_know_is_two(folder: Path, url: str, book: Path):
    refused = upload(
        folder / "claims.csv", url, "--email", EMAIL, "--password", PASSWORD, "--kind", "cats", "--duplicates", "skip"
    )
    assert refused.returncode == 2
    assert "contact_import" in refused.stderr


@pytest.mark.parametrize("more", [[], ["--token", "x", "--go-ahead"]], ids=["no sign-in", "go-ahead for claims"])
def test_wrong_usage_is_two(folder: Path, book: Path, more: list[str]):
    assert upload(folder / "claims.csv", "http://127.0.0.1:9", *more).returncode == 2
