"""A real Rowmill, a simulated payer, and Chromium: started once for all browser tests."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from payersim.testing import Payer, running_apart
from tests.conftest import PASSWORD
from tests.servers.ports import free_port

EMAIL = "alice@acme.test"
PATIENCE = 60_000  # milliseconds; a slow machine is no fault of the page
expect.set_options(timeout=PATIENCE)
_SEEDS = count(1)
SCALE = 0.03
CHROMIUM_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
PROVISION = """
import sys
from rowmill.cli.serving import set_up_django, prepare_database
set_up_django(); prepare_database()
from rowmill.claims.accounts import seal_credentials
from rowmill.claims.sample import impossible_npi, impossible_tin
from rowmill.models import PayerAccount, Practice
from rowmill.orgs import add_member, create_org
org = create_org("acme")
for name, role in (("alice", "admin"), ("bob", "member"), ("ada", "auditor")):
    add_member(org, f"{name}@acme.test", role, sys.argv[3])
practice = Practice.objects.create(org=org, name="Main Street", tin=impossible_tin(), npi=impossible_npi())
account = PayerAccount(org=org, payer="UHC", practice=practice, base_url=sys.argv[1], token_url=sys.argv[2], in_flight=8)
seal_credentials(account, "sim-client", "sim-secret")
account.save()
"""


@dataclass(frozen=True)
class Site:
    """A running Rowmill with its payer."""

    url: str
    payer: Payer
    data: Path


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    data = tmp_path_factory.mktemp("site")
    port = free_port()
    env = {
        **os.environ,
        "ROWMILL_DATA_DIR": str(data),
        "ROWMILL_LOG_LEVEL": "WARNING",
        "DJANGO_SETTINGS_MODULE": "rowmill.settings",
    }
    with running_apart("--profile", "calm", "--latency-scale", str(SCALE)) as payer:
        subprocess.run(
            [sys.executable, "-c", PROVISION, payer.base_url, payer.token_url, PASSWORD],
            env=env,
            check=True,
            timeout=120,
        )
        server = subprocess.Popen(
            [sys.executable, "-m", "rowmill", "up", "--port", str(port)], env=env, stdout=subprocess.DEVNULL
        )
        url = f"http://127.0.0.1:{port}"
        try:
            wait_for(f"{url}/health/")
            yield Site(url, payer, data)
        finally:
            server.send_signal(signal.SIGTERM)
            server.wait(120)


def wait_for(url: str, seconds: float = 120.0) -> None:
    """Wait until an address answers 200."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                if json.load(answer)["status"] == "ok":
                    return
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
    raise AssertionError("the server did not come up")


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with sync_playwright() as play:
        found = play.chromium.launch(executable_path="/usr/bin/chromium", args=CHROMIUM_FLAGS)
        yield found
        found.close()


@pytest.fixture
def context(browser: Browser, site: Site) -> Iterator[BrowserContext]:
    made = browser.new_context(base_url=site.url, viewport={"width": 1280, "height": 900}, accept_downloads=True)
    made.set_default_timeout(PATIENCE)
    yield made
    made.close()


@pytest.fixture
def complaints() -> list[str]:
    """What the browser's console complained of; a test that uses `page` fails on any of it."""
    return []


@pytest.fixture
def page(context: BrowserContext, complaints: list[str]) -> Page:
    """A signed-in page of Alice's."""
    made = context.new_page()
    made.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    made.on("pageerror", lambda error: complaints.append(str(error)))
    sign_in(made)
    return made


def sign_in(page: Page, email: str = EMAIL) -> None:
    """Sign in as a person does."""
    page.goto("/bulk-upload")
    page.get_by_label("E-mail", exact=False).or_(page.get_by_label("Email", exact=False)).first.fill(email)
    page.get_by_label("Password", exact=False).first.fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url("**/bulk-upload")


@pytest.fixture
def unhurried(site: Site) -> Iterator[Callable[[float], None]]:
    """Make the payer so slow that a job lasts while it is looked at; gives what changes its pace."""

    def pace(scale: float) -> None:
        site.payer.control("settings", {"latency_scale": scale})

    pace(0.5)
    yield pace
    pace(SCALE)


@pytest.fixture
def claims_file(tmp_path: Path, site: Site) -> Path:
    """A sample whose answers the payer knows; another one for each test."""
    from rowmill.claims.sample import make_claims

    file, book = tmp_path / "claims.csv", tmp_path / "book.jsonl"
    make_claims(60, next(_SEEDS), file, book)
    site.payer.load_book(book)
    return file
