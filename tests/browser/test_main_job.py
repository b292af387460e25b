"""The main job as a person does it: sign in, drop a file, watch, cancel, retry, download; refused, doubled, by keyboard."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import BrowserContext, Page, expect

from tests.browser.conftest import SCALE, Site, sign_in

pytestmark = [pytest.mark.browser]
TERMINAL = re.compile("COMPLETED|CANCELLED|FAILED")
SLOW = 120_000


def send(page: Page, file: Path) -> None:
    """Choose a file and send it."""
    page.goto("/bulk-upload")
    page.set_input_files("input[type=file]", file)
    page.get_by_role("button", name="Upload and Process").click()


def open_job(page: Page) -> None:
    """Follow the verdict to its job."""
    page.get_by_role("link", name="Open the job").click()
    page.wait_for_url("**/jobs/**")


def test_sign_in_drop_watch_download(page: Page, claims_file: Path, complaints: list[str]) -> None:
    send(page, claims_file)
    verdict = page.locator("[data-verdict]")
    expect(verdict).to_have_attribute("data-verdict", "sound", timeout=SLOW)
    expect(verdict).to_contain_text("Sound. 60 rows, 6 columns")
    open_job(page)
    live = page.locator("#live")
    expect(live).to_contain_text("COMPLETED", timeout=SLOW)
    expect(live).to_contain_text("60 of 60 rows")
    expect(page.locator("#live[hx-trigger]")).to_have_count(0)  # polling has stopped by itself
    with page.expect_download() as waiting:
        page.locator("#results").get_by_role("link", name="CSV").click()
    lines = list(csv.DictReader(io.StringIO(Path(waiting.value.path()).read_text("utf-8-sig"))))
    assert [line["row"] for line in lines] == [str(n) for n in range(1, 61)]
    assert list(lines[0])[:9] == (
        [
            "row",
            "claim_number",
            "status",
            "patient_name",
            "total_charged",
            "total_paid",
            "processed_date",
            "success",
            "error",
        ]
    )
    assert list(lines[0])[-1] == "clinic_note"
    with page.expect_download() as waiting:
        page.locator("#results").get_by_role("link", name="XLSX").click()
    assert Path(waiting.value.path()).read_bytes()[:2] == b"PK"
    assert "claim" not in page.url.lower()
    assert complaints == []


def test_cancel_keeps_what_is_done_and_retry_goes_to_the_end(
    page: Page, claims_file: Path, unhurried: Callable[[float], None]
) -> None:
    page.goto("/bulk-upload")
    send(page, claims_file)
    expect(page.locator("[data-verdict=sound]")).to_be_visible(timeout=SLOW)
    open_job(page)
    live = page.locator("#live")
    live.locator("summary", has_text="Cancel").click()
    expect(live).to_contain_text("are kept")
    live.get_by_role("button", name="Cancel the job").click()
    expect(live).to_contain_text("CANCELLED", timeout=SLOW)
    unhurried(SCALE)
    live.locator("summary", has_text="Retry").click()
    live.get_by_role("button", name=re.compile("Retry .* row")).click()
    expect(live).to_contain_text("COMPLETED", timeout=SLOW)
    expect(live).to_contain_text("60 of 60 rows")


def test_a_broken_file_is_refused_with_its_line(page: Page, tmp_path: Path) -> None:
    file = tmp_path / "broken.csv"
    file.write_text(
        "claim_number,first_name,last_name,date_of_birth,subscriber_id\n"
        'A1,Ada,Lovelace,1980-01-15,SIM1\nA2,"Bob,Builder,1980-01-15,SIM2\nA3,Cy,Clone,1980-01-15,SIM3\n'
    )
    send(page, file)
    verdict = page.locator("[data-verdict]")
    expect(verdict).to_have_attribute("data-verdict", "refused", timeout=SLOW)
    expect(verdict).to_contain_text(re.compile("line 3", re.I))
    expect(verdict).to_contain_text("quote")


def test_the_same_file_again_asks_before_it_runs_twice(page: Page, claims_file: Path) -> None:
    send(page, claims_file)
    expect(page.locator("[data-verdict=sound]")).to_be_visible(timeout=SLOW)
    send(page, claims_file)
    expect(page.locator("[data-verdict=duplicate]")).to_be_visible(timeout=SLOW)
    page.get_by_role("button", name="Run it again anyway").click()
    expect(page.locator("[data-verdict=sound]")).to_be_visible(timeout=SLOW)


def test_results_are_filtered_and_searched_without_a_cell_in_the_address(page: Page, claims_file: Path) -> None:
    numbers = Counter(line.split(",")[0] for line in claims_file.read_text().splitlines()[1:])
    number = next(number for number, times in numbers.items() if times == 1)  # in a sample some come again
    send(page, claims_file)
    expect(page.locator("[data-verdict=sound]")).to_be_visible(timeout=SLOW)
    open_job(page)
    expect(page.locator("#live")).to_contain_text("COMPLETED", timeout=SLOW)
    page.get_by_role("searchbox").fill(number)
    page.get_by_role("searchbox").press("Enter")
    expect(page.locator("#results tbody tr")).to_have_count(1)
    expect(page.locator("#results")).to_contain_text(number)
    assert number not in page.url


def test_by_keyboard_alone(page: Page, claims_file: Path, unhurried: Callable[[float], None]) -> None:
    page.goto("/bulk-upload")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.set_input_files("input[type=file]", claims_file)
    page.get_by_role("button", name="Upload and Process").focus()
    page.keyboard.press("Enter")
    link = page.get_by_role("link", name="Open the job")
    expect(link).to_be_visible(timeout=SLOW)
    link.focus()
    page.keyboard.press("Enter")
    page.wait_for_url("**/jobs/**")
    cancel = page.locator("#live summary").first
    cancel.focus()
    page.keyboard.press("Enter")
    expect(page.locator("#live details[open]")).to_have_count(1)


def test_an_auditor_sees_and_cannot_send(context: BrowserContext) -> None:
    page = context.new_page()
    sign_in(page, "ada@acme.test")
    expect(page.get_by_text("You are an auditor")).to_be_visible()
    assert page.locator("input[type=file]").count() == 0


def test_the_page_works_without_scripts(site: Site, context: BrowserContext, claims_file: Path) -> None:
    assert context.browser is not None
    plain = context.browser.new_context(base_url=site.url, java_script_enabled=False)
    page = plain.new_page()
    sign_in(page)
    page.set_input_files("input[type=file]", claims_file)
    page.get_by_role("button", name="Upload and Process").click()
    expect(page.locator("body")).to_contain_text("Claim status · 60 rows", timeout=SLOW)
    plain.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_axe_finds_nothing_serious_and_nothing_overflows(
    page: Page, claims_file: Path, width: int, scheme: str
) -> None:
    page.set_viewport_size({"width": width, "height": 900})
    page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    send(page, claims_file)
    expect(page.locator("[data-verdict=sound]")).to_be_visible(timeout=SLOW)
    open_job(page)
    job = page.url
    expect(page.locator("#live")).to_contain_text(TERMINAL, timeout=SLOW)
    addresses = [
        job,
        "/bulk-upload",
        "/jobs/",
        "/settings/people/",
        "/settings/practices/",
        "/settings/payer-accounts/",
    ]
    for address in addresses:
        page.goto(address)
        found = Axe().run(page).response["violations"]
        serious = [
            (v["id"], [n["html"][:120] for n in v["nodes"]]) for v in found if v["impact"] in ("serious", "critical")
        ]
        assert serious == [], f"{address} at {width} px, {scheme}"
        wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert wide <= 0, f"{address} is {wide} px wider than the window at {width} px"
