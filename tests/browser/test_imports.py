"""The way of a contacts file in a real browser: drop, columns, effect, go-ahead, import, undo; readable at every width."""

from __future__ import annotations

import re
from itertools import count
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.test_cohorts import need_fit

pytestmark = [pytest.mark.browser]
_FILES = count(1)


def contacts(title: str, rows: int = 30) -> str:
    lines = [f"c{n}@example.org,Ann {n},{title},{'many' if n == 4 else '11-50'},x" for n in range(rows)]
    return "\n".join(["Reach,First Name,Jobb Title,Staff,Shoe", *lines]) + "\n"


def send(page: Page, folder: Path, text: str) -> None:
    """Drop a file and follow it to its columns."""
    file = folder / f"contacts-{next(_FILES)}.csv"
    file.write_text(text)
    page.goto("/bulk-upload?kind=contact_import")
    page.set_input_files("#file", file)
    page.get_by_role("button", name="Upload and Process").click()
    page.get_by_role("link", name="Look at its columns").click()
    page.wait_for_url("**/mapping")


def fit_everywhere(page: Page, where: str) -> None:
    for width, scheme in ((390, "dark"), (1280, "light")):
        page.set_viewport_size({"width": width, "height": 900})
        page.emulate_media(color_scheme=scheme, reduced_motion="reduce")  # type: ignore[arg-type]
        need_fit(page, f"{where} at {width} px, {scheme}")


def test_a_file_is_mapped_looked_at_imported_and_taken_back(page: Page, tmp_path: Path, complaints: list[str]) -> None:
    send(page, tmp_path, contacts("Owner"))
    expect(page.locator("#missing")).to_contain_text("No column is the E-mail or the Contact ID.")
    expect(page.get_by_label("Jobb Title")).to_have_value("Title")
    expect(page.locator("#how-3")).to_contain_text("alike")
    for header, field in (("Reach", "E-mail"), ("Staff", "Employees"), ("Shoe", "Do not import")):
        page.get_by_label(header).fill(field)
        page.keyboard.press("Tab")
    expect(page.locator("#missing")).not_to_contain_text("No column is")
    expect(page.locator("#first-rows")).to_contain_text("c0@example.org")
    fit_everywhere(page, "the columns")
    page.get_by_role("button", name="Save, and see the effect").click()
    expect(page.locator("#effect")).to_contain_text("30 rows = 29 new + 0 changed + 0 unchanged + 1 rejected")
    fit_everywhere(page, "the effect")
    page.get_by_role("button", name="Import 29 rows").click()
    expect(page.locator("#live")).to_contain_text("COMPLETED")
    expect(page.locator("#live")).to_contain_text("30 rows = 29 new + 0 changed + 0 unchanged + 1 rejected")

    send(page, tmp_path, contacts("Head of things"))
    expect(page.locator("#how-1")).to_contain_text("as you set it before")
    page.get_by_role("button", name="Save, and see the effect").click()
    expect(page.locator("#effect")).to_contain_text("30 rows = 0 new + 29 changed")
    expect(page.locator("#effect")).to_contain_text("Head of things")
    page.get_by_label("Leave alone").check()
    expect(page.locator("#effect")).to_contain_text("30 rows = 0 new + 0 changed + 29 unchanged")
    page.get_by_label("Update").first.check()
    page.get_by_label(re.compile("Go ahead and change 29")).check()
    fit_everywhere(page, "the go-ahead")
    page.get_by_role("button", name="Import 29 rows").click()
    expect(page.locator("#live")).to_contain_text("COMPLETED")
    page.reload()
    page.locator("#ask-undo-live summary").click()
    page.get_by_role("button", name="Take the import back").click()
    expect(page.locator("#live")).to_contain_text("0 removed, 29 as they were before, 0 kept.")
    fit_everywhere(page, "the import taken back")
    page.get_by_role("link", name="Columns").click()
    expect(page.get_by_label("Reach")).to_be_disabled()
    assert complaints == []


def test_the_doubtful_columns_alone_by_keyboard(page: Page, tmp_path: Path, complaints: list[str]) -> None:
    send(page, tmp_path, contacts("Owner", 3).replace("Reach", "E-mail"))
    lines = page.locator(".mapping-line:visible")
    expect(lines).to_have_count(5)
    only = page.get_by_label("Only the 3 doubtful")
    only.focus()
    page.keyboard.press("Space")
    expect(lines).to_have_count(3)
    expect(page.locator("#first-rows")).to_contain_text("c0@example.org")
    title = page.get_by_label("Field for the column Jobb Title")
    title.focus()
    page.keyboard.type("Nonsense")
    page.keyboard.press("Tab")
    expect(page.locator("#how-3")).to_contain_text("There is no such field.")
    expect(title).to_have_attribute("aria-invalid", "true")
    expect(page.locator("#announcer")).to_contain_text("Jobb Title: There is no such field.")
    title.focus()
    page.keyboard.type("Seniority")
    page.keyboard.press("Enter")  # goes on to the next column that is shown, and saves nothing
    expect(page.get_by_label("Field for the column Staff")).to_be_focused()
    expect(page.locator("#how-3")).to_have_text("set by hand, not saved yet")
    expect(page.locator("#first-rows")).to_contain_text("Seniority")
    page.keyboard.type("something")
    page.keyboard.press("Escape")
    expect(page.get_by_label("Field for the column Staff")).to_have_value("Keep as extra")
    only.uncheck()
    page.get_by_label("Find a column").fill("name")
    expect(lines).to_have_count(1)
    expect(page.locator("#shown-columns")).to_have_text("1 of 5 columns")
    assert "/mapping" in page.url
    fit_everywhere(page, "the columns that are found")
    page.set_viewport_size({"width": 1280, "height": 900})
    page.locator("#ask-discard summary").focus()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.locator(".messages")).to_contain_text("The file is discarded")
    assert not complaints
