"""The precheck as a person does it: choose a large broken file, watch it, read the causes, take the findings."""

from __future__ import annotations

from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from tests.browser.mixed_damage import make_damaged

pytestmark = [pytest.mark.browser]
SLOW = 120_000


def need_accessible(page: Page, width: int) -> None:
    found = Axe().run(page).response["violations"]
    serious = [
        (v["id"], [n["html"][:120] for n in v["nodes"]]) for v in found if v["impact"] in ("serious", "critical")
    ]
    assert serious == [], f"{page.url} at {width} px"
    wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert wide <= 0, f"{page.url} is {wide} px wider than the window at {width} px"


def test_a_file_with_many_errors_is_diagnosed(page: Page, tmp_path: Path, complaints: list[str]) -> None:
    file = tmp_path / "damaged.csv"
    make_damaged(file, rows=30_000, errors=4_000)
    page.goto("/bulk-upload")
    page.get_by_role("link", name="Precheck").click()
    page.wait_for_url("**/precheck-validation")
    need_accessible(page, 1280)
    page.set_input_files("#file", file)
    page.get_by_role("button", name="Precheck the file").click()
    page.wait_for_url("**/precheck-validation/*")
    live = page.locator("#live")
    expect(live).to_contain_text("COMPLETED", timeout=SLOW)
    expect(live).to_contain_text("stop this file")
    expect(live).to_contain_text("too many fields")
    expect(page.locator("#live[hx-trigger]")).to_have_count(0)  # polling has stopped by itself
    with page.expect_download() as waiting:
        page.get_by_role("link", name="CSV of the findings").click()
    assert b"too-few-fields" in Path(waiting.value.path()).read_bytes()
    for width, scheme in ((1280, "light"), (390, "dark")):
        page.set_viewport_size({"width": width, "height": 900})
        page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        page.reload()  # colours change by and by
        need_accessible(page, width)
    page.goto("/precheck-validation")
    expect(page.get_by_role("link", name="damaged.csv", exact=True)).to_be_visible()
    assert complaints == []
