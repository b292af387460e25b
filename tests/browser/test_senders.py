"""The sender on the other pages that take files: the precheck's door and a cohort's table, each as on the upload page."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, Page, StorageState, expect

from tests.browser.conftest import Site
from tests.browser.test_cohorts import make_submission
from tests.browser.test_uploader import (  # noqa: F401
    KEPT,
    SLOW,
    SMALL_PIECES,
    Door,
    card_of,
    held,
    pieces_of,
    signed_in,
    until,
)

pytestmark = [pytest.mark.browser]


@pytest.fixture
def context(site: Site, browser: Browser, signed_in: StorageState) -> Iterator[BrowserContext]:  # noqa: F811
    with browser.new_context(base_url=site.url, storage_state=signed_in, reduced_motion="reduce") as made:
        made.set_default_timeout(SLOW)
        made.add_init_script(SMALL_PIECES)
        yield made


@pytest.fixture
def page(context: BrowserContext, complaints: list[str]) -> Page:
    made = context.new_page()
    made.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    made.on("pageerror", lambda error: complaints.append(str(error)))
    made.on("dialog", lambda dialog: dialog.accept())
    return made


def make_broken(folder: Path, word: str) -> Path:
    """Write a file of several pieces with one row too short."""
    file = folder / f"{word}.csv"
    rows = "".join(f"{n:05d},{word * 8}\n" for n in range(4000))
    file.write_text(f"id,note\n{rows}broken\n")
    return file


def test_a_file_for_the_precheck_is_paused_left_and_gone_on_with(
    page: Page,
    held: Door,  # noqa: F811
    tmp_path: Path,
    complaints: list[str],
) -> None:
    file = make_broken(tmp_path, "paused")
    page.goto("/precheck-validation")
    page.get_by_label("Hold it against").select_option("claim_status")
    page.set_input_files("input[type=file]", file)
    page.get_by_role("button", name="Precheck the file").click()
    card = card_of(page, file)
    until(page, lambda: len(held.taken) == 2 and bool(held.held), "two pieces are there, the third is on its way")
    expect(card).to_contain_text("Uploading")
    card.get_by_role("button", name="Pause").focus()
    page.keyboard.press("Enter")
    expect(card).to_contain_text("Paused")
    found = Axe().run(page).response["violations"]
    assert [v["id"] for v in found if v["impact"] in ("serious", "critical")] == []
    page.reload()
    held.drop()
    expect(card).to_contain_text("Not finished")
    assert file.name not in page.evaluate(KEPT)
    page.goto("/bulk-upload")
    expect(card).to_have_count(0)  # it is no claims file
    page.goto("/precheck-validation")
    page.set_input_files("input[type=file]", file)
    page.get_by_role("button", name="Precheck the file").click()
    page.wait_for_url("**/precheck-validation/*")
    assert held.offsets == pieces_of(file)
    expect(page.locator("#live")).to_contain_text("COMPLETED")
    expect(page.get_by_role("heading", name=file.name)).to_be_visible()
    expect(page.locator(".page-lead")).to_contain_text("against")
    assert complaints == []


def test_of_two_files_each_has_a_card_that_leads_to_its_precheck(page: Page, tmp_path: Path) -> None:
    files = [make_broken(tmp_path, word) for word in ("first", "second")]
    page.goto("/precheck-validation")
    page.set_input_files("input[type=file]", files)
    page.get_by_role("button", name="Precheck the file").click()
    for file in files:
        expect(card_of(page, file).locator("[data-verdict=precheck]")).to_contain_text("Not sound")
    card_of(page, files[1]).get_by_role("link", name="Open its precheck").click()
    expect(page.get_by_role("heading", name="second.csv")).to_be_visible()


def test_a_cohorts_table_comes_in_pieces_and_its_page_tells_how_far(
    page: Page,
    held: Door,  # noqa: F811
    tmp_path: Path,
    complaints: list[str],
) -> None:
    file = tmp_path / "patients.csv"
    file.write_text("patient_id,sex\n" + "".join(f"{n:07d},F\n" for n in range(1, 12_001)))
    address = make_submission(page)
    page.goto(f"{address}patient")
    page.set_input_files("input[type=file]", file)
    page.get_by_role("button", name="Upload", exact=True).click()
    card, live = card_of(page, file), page.locator("#live")
    until(page, lambda: len(held.taken) == 2 and bool(held.held), "two pieces are there, the third is on its way")
    expect(live).to_contain_text("are here, sent by alice@acme.test")
    found = Axe().run(page).response["violations"]
    assert [v["id"] for v in found if v["impact"] in ("serious", "critical")] == []
    page.reload()
    held.drop()
    expect(card).to_contain_text("Not finished")
    page.set_input_files("input[type=file]", file)
    page.get_by_role("button", name="Upload", exact=True).click()
    expect(live).to_contain_text("12,000 patient IDs registered, 12,000 rows.")
    assert held.offsets == pieces_of(file)
    expect(card).to_have_count(0)
    expect(page.get_by_role("heading", name="Replace the file")).to_be_visible()
    assert complaints == []


def test_a_cohorts_upload_that_is_cancelled_leaves_the_table_as_it_was(page: Page, held: Door, tmp_path: Path) -> None:  # noqa: F811
    file = tmp_path / "patients.csv"
    file.write_text("patient_id,sex\n" + "".join(f"{n:07d},F\n" for n in range(1, 12_001)))
    address = make_submission(page)
    page.goto(f"{address}patient")
    page.set_input_files("input[type=file]", file)
    page.get_by_role("button", name="Upload", exact=True).click()
    until(page, lambda: bool(held.held), "it is on its way")
    expect(page.locator("#live")).to_contain_text("Uploading")
    card = card_of(page, file)
    card.locator("summary").click()
    card.get_by_role("button", name="Cancel the upload").click()
    held.drop()
    expect(page.locator("#live")).to_contain_text("No file yet.")
    expect(card).to_have_count(0)
