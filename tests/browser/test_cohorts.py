"""The cohort pages in a real browser: send, refuse, mend, accept; readable for everybody at every width."""

from __future__ import annotations

import re
from itertools import count
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

pytestmark = [pytest.mark.browser]
PATIENTS = "patient_id,sex\n" + "".join(f"{n:04d},F\n" for n in range(1, 41))
LABS = "lab,patient_id,value\n" + "".join(f"{n},{n},{n}.5\n" for n in range(1, 31)) + "31, 0032,1\n32,0031,2\n"
_NAMES = count(1)


def make_submission(page: Page) -> str:
    """Make a cohort with a submission by the pages' own forms, and give the submission's address."""
    page.goto("/cohorts/")
    page.get_by_label("Name").fill(f"Heart {next(_NAMES)}")
    page.get_by_role("button", name="Make the cohort").click()
    page.get_by_label("Name").fill("Spring 2026")
    page.get_by_role("button", name="Make the submission").click()
    page.wait_for_url(re.compile(r"/submissions/[0-9a-f-]+/$"))
    return page.url


def send(page: Page, address: str, file: Path, data: str) -> None:
    """Send a file by the table's form."""
    file.write_text(data)
    page.goto(address)
    page.set_input_files("input[type=file]", file)
    page.get_by_role("button", name="Upload").click()


def need_fit(page: Page, where: str) -> None:
    """Nothing serious for axe, nothing wider than the window."""
    found = Axe().run(page).response["violations"]
    serious = [
        (v["id"], [n["html"][:120] for n in v["nodes"]]) for v in found if v["impact"] in ("serious", "critical")
    ]
    assert serious == [], where
    wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert wide <= 0, f"{where} is {wide} px wider than the window"


def test_lost_ids_are_found_mended_and_the_table_accepted(page: Page, tmp_path: Path, complaints: list[str]) -> None:
    address = make_submission(page)
    send(page, f"{address}patient", tmp_path / "patients.csv", PATIENTS)
    expect(page.locator("#live")).to_contain_text("40 patient IDs registered, 40 rows.")
    page.goto(address)
    page.get_by_label("Name").fill("labs")
    page.get_by_role("button", name="Add the table").click()
    send(page, f"{address}labs", tmp_path / "labs.csv", LABS)
    expect(page.locator("#live")).to_contain_text("File contains 31 patient IDs not in patient file.")
    expect(page.locator("#live")).to_contain_text("30 match when leading zeros are restored")
    for width in (390, 1280):
        for scheme in ("light", "dark"):
            page.set_viewport_size({"width": width, "height": 900})
            page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
            for shown in (f"{address}labs", f"{address}patient", address, "/cohorts/"):
                page.goto(shown)
                need_fit(page, f"{shown} at {width} px, {scheme}")
    page.goto(f"{address}labs")
    page.get_by_role("button", name="Make the mended copy and check it").click()
    expect(page.locator("#live")).to_contain_text("All 32 patient IDs are known, 32 rows.")
    with page.expect_download() as taken:
        page.get_by_role("link", name="Database for analysis").click()
    assert taken.value.suggested_filename == "labs.duckdb"
    assert complaints == []


def test_a_broken_file_leads_to_its_precheck(page: Page, tmp_path: Path) -> None:
    address = make_submission(page)
    send(page, f"{address}patient", tmp_path / "broken.csv", 'patient_id,sex\n1,"F\n2,M\n')
    expect(page.locator("#live")).to_contain_text("File appears invalid. Use Precheck Validation for diagnostics.")
    need_fit(page, "the refused table")
    page.get_by_role("button", name="Run the precheck on this file").click()
    page.wait_for_url(re.compile(r"/precheck-validation/[0-9a-f-]+$"))
