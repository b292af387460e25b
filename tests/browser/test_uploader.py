"""The page's uploader as a person works with it: several files, pause, reload, crash, refusals, by keyboard, on a phone."""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import (
    Browser,
    BrowserContext,
    Error,
    Locator,
    Page,
    Request,
    Response,
    Route,
    StorageState,
    expect,
)

from rowmill.claims.sample import make_claims
from tests.browser.conftest import Site, sign_in

pytestmark = [pytest.mark.browser]
SLOW = 120_000
PIECE = 40_000
DOOR = re.compile(r"/api/v1/uploads/tus/")
# Before the page's own scripts run: pieces so small that a small file has many.
SMALL_PIECES = f"""
document.addEventListener("readystatechange", () => {{
  const form = document.getElementById("upload-form");
  if (form) form.dataset.chunkBytes = "{PIECE}";
}});
"""


KEPT = """async () => JSON.stringify([
  Object.entries(localStorage), Object.entries(sessionStorage), await indexedDB.databases(), await caches.keys(),
])"""


class Door:
    """Stands before the server's door: notes what it acknowledged, and holds pieces back on demand."""

    def __init__(self, context: BrowserContext, hold_from: int | None = None) -> None:
        self.hold_from = hold_from
        self.held: list[Route] = []
        self.taken: list[tuple[str, int]] = []
        self.ended: list[str] = []
        self.instead: tuple[int, dict[str, str]] | None = None
        self.cut = False
        context.on("response", self._note)
        context.route(DOOR, self._pass)

    def _note(self, response: Response) -> None:
        if DOOR.search(response.url) and response.status == 204:
            if response.request.method == "PATCH":
                self.taken.append((response.url, offset_of(response.request)))
            if response.request.method == "DELETE":
                self.ended.append(response.url)

    def _pass(self, route: Route) -> None:
        if route.request.method != "PATCH":
            route.continue_()
        elif self.cut:
            route.abort("connectionreset")
        elif self.instead is not None:
            status, problem = self.instead
            route.fulfill(status=status, content_type="application/problem+json", body=json.dumps(problem))
        elif self.hold_from is not None and offset_of(route.request) >= self.hold_from:
            self.held.append(route)
        else:
            route.continue_()

    def open(self) -> None:
        """Let everything through from now on, what is held as well."""
        self.hold_from, self.instead, self.cut = None, None, False
        while self.held:
            self.held.pop().continue_()

    def drop(self) -> None:
        """Let the held pieces fall: whoever sent them is gone."""
        self.hold_from = None
        while self.held:
            with suppress(Error):
                self.held.pop().abort()

    @property
    def offsets(self) -> list[int]:
        """Give where the acknowledged pieces began."""
        return [offset for _, offset in self.taken]


def offset_of(request: Request) -> int:
    return int(request.headers["upload-offset"])


def pieces_of(file: Path) -> list[int]:
    """Give where each piece of a file begins."""
    return list(range(0, file.stat().st_size, PIECE))


@pytest.fixture(scope="module")
def signed_in(site: Site, browser: Browser) -> StorageState:
    """The cookies of Alice, who signs in once."""
    with browser.new_context(base_url=site.url) as made:
        sign_in(made.new_page())
        made.pages[0].get_by_role("heading", name="History").wait_for(timeout=SLOW)
        return made.storage_state()


@pytest.fixture
def context(site: Site, browser: Browser, signed_in: StorageState) -> Iterator[BrowserContext]:
    with browser.new_context(base_url=site.url, storage_state=signed_in, reduced_motion="reduce") as made:
        made.set_default_timeout(SLOW)
        made.add_init_script(SMALL_PIECES)
        yield made


@pytest.fixture
def page(context: BrowserContext, complaints: list[str]) -> Page:
    """The upload page of Alice's."""
    made = context.new_page()
    made.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    made.on("pageerror", lambda error: complaints.append(str(error)))
    made.on("dialog", lambda dialog: dialog.accept())  # leaving while a file is under way asks first
    made.goto("/bulk-upload")
    return made


@pytest.fixture
def held(context: BrowserContext) -> Iterator[Door]:
    """A door that holds back all but the first two pieces."""
    door = Door(context, hold_from=2 * PIECE)
    yield door
    door.drop()
    with suppress(Error):  # where the context was closed
        context.unroute_all(behavior="ignoreErrors")


@pytest.fixture
def big(tmp_path: Path) -> Path:
    """Sixty claims with long notes: sound, and several pieces large."""
    return make_big(tmp_path, "claims")


def make_big(folder: Path, word: str) -> Path:
    """Write a file whose name and bytes nobody has sent before."""
    file = folder / f"{word}-{uuid4().hex}.csv"
    make_claims(60, 7, file, folder / "book.jsonl")
    header, *lines = file.read_text().splitlines()
    file.write_text("\n".join([f"{header},remark", *(f"{line},{file.stem * 70}" for line in lines)]) + "\n")
    return file


def send(page: Page, *files: Path) -> None:
    """Choose files and send them."""
    page.set_input_files("input[type=file]", list(files))
    page.get_by_role("button", name="Upload and Process").click()


def card_of(page: Page, file: Path) -> Locator:
    return page.locator(".file-card").filter(has=page.get_by_role("heading", name=file.name, include_hidden=True))


def until(page: Page, holds: Callable[[], bool], what: str) -> None:
    """Wait for a condition of this test's own."""
    deadline = time.monotonic() + SLOW / 1000
    while not holds():
        assert time.monotonic() < deadline, what
        page.wait_for_timeout(20)


def expect_sound(card: Locator) -> None:
    expect(card.locator("[data-verdict]")).to_have_attribute("data-verdict", "sound", timeout=SLOW)


def test_two_files_at_once_each_with_its_verdict(page: Page, held: Door, tmp_path: Path, complaints: list[str]) -> None:
    sound, torn = make_big(tmp_path, "sound"), make_big(tmp_path, "torn")
    torn.write_text(torn.read_text().replace("first_name", "nickname", 1))
    send(page, sound, torn)
    until(page, lambda: len(held.held) == 2, "both files are under way at once")
    for file in (sound, torn):
        card = card_of(page, file)
        expect(card).to_contain_text("Uploading")
        expect(card.get_by_role("progressbar", name=f"Upload of {file.name}")).to_be_visible()
        expect(card).to_contain_text(re.compile(r"\d+ % · [\d.]+ KB of [\d.]+ KB"))
    held.open()
    expect_sound(card_of(page, sound))
    expect(card_of(page, sound)).to_contain_text("Sound. 60 rows")
    expect(card_of(page, sound).get_by_role("link", name="Open the job")).to_be_visible()
    expect(card_of(page, torn).locator("[data-verdict=refused]")).to_contain_text("first_name", timeout=SLOW)
    expect(page.locator("#history")).to_contain_text(sound.name, timeout=SLOW)
    assert complaints == []


def test_pause_and_resume_by_keyboard(page: Page, held: Door, big: Path) -> None:
    send(page, big)
    card = card_of(page, big)
    until(page, lambda: bool(held.held), "the third piece is on its way")
    card.get_by_role("button", name="Pause").focus()
    page.keyboard.press("Enter")
    expect(card).to_contain_text("Paused")
    expect(page.locator("#announcer")).to_contain_text(f"{big.name}: paused")
    expect(card.get_by_role("button", name="Resume")).to_be_focused()
    held.drop()
    page.keyboard.press("Enter")
    expect_sound(card)
    assert held.offsets == pieces_of(big)


def test_after_a_reload_it_goes_on_where_it_stopped(page: Page, held: Door, big: Path) -> None:
    send(page, big)
    until(page, lambda: len(held.taken) == 2 and bool(held.held), "two pieces are there, the third is on its way")
    page.reload()
    held.drop()
    card = card_of(page, big)
    expect(card).to_contain_text("Not finished")
    expect(card).to_contain_text("are here, kept until")
    assert big.name not in page.evaluate(KEPT)  # of a file the browser keeps nothing, not its name either
    send(page, big)
    expect_sound(card)
    assert card.count() == 1
    assert held.offsets == pieces_of(big)
    assert len({url for url, _ in held.taken}) == 1


def test_after_the_browser_died_another_one_goes_on(
    site: Site, signed_in: StorageState, context: BrowserContext, page: Page, held: Door, big: Path, tmp_path: Path
) -> None:
    send(page, big)
    until(page, lambda: len(held.taken) == 2 and bool(held.held), "two pieces are there, the third is on its way")
    browser = context.browser
    assert browser is not None
    context.close()
    held.drop()
    fresh = browser.new_context(base_url=site.url, storage_state=signed_in)
    fresh.add_init_script(SMALL_PIECES)
    door = Door(fresh)
    other = fresh.new_page()
    other.goto("/bulk-upload")
    card = card_of(other, big)
    expect(card).to_contain_text("Not finished")
    (tmp_path / "else").mkdir()
    with other.expect_file_chooser() as waiting:
        card.get_by_role("button", name="Choose it and go on").click()
    waiting.value.set_files(make_other(tmp_path / "else" / big.name))
    expect(card.get_by_role("alert")).to_contain_text("is not the file that was begun")
    with other.expect_file_chooser() as waiting:
        card.get_by_role("button", name="Choose it and go on").click()
    waiting.value.set_files(big)
    expect_sound(card)
    assert held.offsets + door.offsets == pieces_of(big)
    fresh.close()


def make_other(file: Path) -> Path:
    file.write_text("claim_number\n")
    return file


def test_a_lost_connection_comes_back_by_itself(page: Page, held: Door, big: Path) -> None:
    held.cut = True
    send(page, big)
    expect(card_of(page, big)).to_contain_text("Trying again")
    expect(card_of(page, big)).to_contain_text("It goes on by itself")
    held.open()
    expect_sound(card_of(page, big))
    assert held.offsets == pieces_of(big)


def test_cancel_asks_first_and_leaves_nothing(page: Page, held: Door, big: Path) -> None:
    send(page, big)
    card = card_of(page, big)
    until(page, lambda: len(held.taken) == 2 and bool(held.held), "two pieces are there, the third is on its way")
    card.locator("summary").click()
    expect(card).to_contain_text("are thrown away")
    card.get_by_role("button", name="Keep it").click()
    expect(card.locator("summary")).to_be_focused()
    card.locator("summary").click()
    card.get_by_role("button", name="Cancel the upload").click()
    expect(card).to_have_count(0)
    expect(page.locator("#file:focus, .file-name:focus")).to_have_count(1)
    until(page, lambda: len(held.ended) == 1, "the server is told")
    held.drop()
    held.hold_from = 2 * PIECE
    send(page, big)
    until(page, lambda: len(held.taken) == 4 and bool(held.held), "as far again")
    page.reload()
    expect(card).to_contain_text("Not finished")
    card.locator("summary").click()
    card.get_by_role("button", name="Cancel the upload").click()
    until(page, lambda: len(held.ended) == 2, "the server is told")
    page.reload()
    expect(page.locator("#history")).to_be_visible()
    expect(card).to_have_count(0)


def test_a_file_that_changes_on_the_way_is_told(page: Page, held: Door, big: Path) -> None:
    send(page, big)
    card = card_of(page, big)
    until(page, lambda: bool(held.held), "the third piece is on its way")
    big.write_text(big.read_text().upper())
    os.utime(big, (1_000_000_000, 1_000_000_000))
    held.open()
    expect(card.get_by_role("alert")).to_contain_text("changed or moved since it was chosen")
    expect(card.get_by_role("button", name="Put away")).to_be_visible()
    until(page, lambda: len(held.ended) == 1, "what was sent of it is given up")


def test_what_the_server_refuses_is_told_and_tried_again(page: Page, held: Door, big: Path) -> None:
    held.instead = (401, {"code": "not_signed_in", "detail": "Sign in."})
    send(page, big)
    card = card_of(page, big)
    expect(card.get_by_role("alert")).to_contain_text("You were signed out. Sign in in another window")
    held.instead = (410, {"code": "expired", "detail": "This upload was not finished in its time."})
    card.get_by_role("button", name="Try again").click()
    expect(card.get_by_role("alert")).to_contain_text("Its time was over")
    held.open()
    card.get_by_role("button", name="Try again").click()
    expect_sound(card)


def test_files_that_cannot_be_taken_are_told_in_words(page: Page, held: Door, big: Path, tmp_path: Path) -> None:
    held.open()
    empty, picture = tmp_path / "empty.csv", tmp_path / "picture.csv"
    empty.touch()
    picture.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 40)
    send(page, empty, picture)
    expect(card_of(page, empty).get_by_role("alert")).to_contain_text("The file is empty")
    expect(card_of(page, picture).locator("[data-verdict=refused]")).to_be_visible(timeout=SLOW)
    card_of(page, empty).get_by_role("button", name="Put away").click()
    expect(card_of(page, empty)).to_have_count(0)
    page.evaluate("document.getElementById('upload-form').dataset.maxBytes = '1000'")
    send(page, big)
    expect(card_of(page, big).get_by_role("alert")).to_contain_text("Split it into parts")
    assert held.offsets == [0]  # of the picture: nothing else was worth sending


def test_files_are_dropped_anywhere(page: Page, held: Door, tmp_path: Path) -> None:
    held.open()
    page.goto("/bulk-upload")
    drop = """(type) => {
      const data = new DataTransfer();
      data.items.add(new File(["a,b\\n1,2\\n"], "dropped.csv"));
      document.body.dispatchEvent(new DragEvent(type, {dataTransfer: data, bubbles: true, cancelable: true}));
    }"""
    page.evaluate(drop, "dragover")
    expect(page.locator("#drop")).to_contain_text("Let go to send this file")
    page.evaluate(drop, "drop")
    expect(page.locator("#drop")).to_contain_text("Drop files here")
    expect(card_of(page, Path("dropped.csv")).locator("[data-verdict=refused]")).to_be_visible(timeout=SLOW)


def test_without_the_sender_the_form_still_sends(context: BrowserContext, claims_file: Path) -> None:
    context.route("**/uppy.min.js", lambda route: route.abort())
    page = context.new_page()
    page.goto("/bulk-upload")
    send(page, claims_file)
    page.wait_for_url("**/jobs/**", timeout=SLOW)


def test_axe_and_width_in_every_state(page: Page, held: Door, tmp_path: Path) -> None:
    running, paused, failed = (make_big(tmp_path, name) for name in ("running", "paused", "failed"))
    broken = tmp_path / "broken.csv"
    broken.write_text("a,b\n1,2\n")
    send(page, broken)
    expect(card_of(page, broken).locator("[data-verdict=refused]")).to_be_visible(timeout=SLOW)
    held.instead = (507, {"code": "out_of_space", "detail": "The disk is almost full; nothing was stored."})
    send(page, failed)
    expect(card_of(page, failed).get_by_role("alert")).to_contain_text("disk is almost full")
    held.instead = None
    send(page, paused, running)
    until(page, lambda: len(held.held) == 2, "both are under way")
    card_of(page, paused).get_by_role("button", name="Pause").click()
    card_of(page, paused).locator("summary").click()
    for width, scheme in ((390, "light"), (1280, "dark")):
        page.set_viewport_size({"width": width, "height": 900})
        page.emulate_media(color_scheme=scheme, reduced_motion="reduce")  # type: ignore[arg-type]
        found = Axe().run(page).response["violations"]
        serious = [
            (v["id"], [n["html"][:120] for n in v["nodes"]]) for v in found if v["impact"] in ("serious", "critical")
        ]
        assert serious == [], f"{width} px, {scheme}"
        wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert wide <= 0, f"{wide} px wider than the window at {width} px"
