"""The contacts in a real browser: search, choose columns, look, edit, take home; readable for everybody at every width."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Site
from tests.browser.test_cohorts import need_fit

pytestmark = [pytest.mark.browser]
FILL = """
import django; django.setup()
from rowmill.models import Contact, Org
from tests.contacts.made import make_contact, make_contacts
org = Org.objects.get(name="acme")
make_contacts(org, 120)
make_contact(org, 900, first_name="Zelda", last_name="Quirk", title="Head of Sales", company="Acme Süd",
    email="zelda@acme.example", employees=11, employees_most=50, extra={"Favourite colour": "teal"},
    first_phone="+1 (415) 555-0100", phone_numbers={"first_phone": "+14155550100"})
"""


@pytest.fixture
def filled(site: Site) -> None:
    """Put contacts into the running site's database."""
    env = {**os.environ, "ROWMILL_DATA_DIR": str(site.data), "DJANGO_SETTINGS_MODULE": "rowmill.settings"}
    root = Path(__file__).parents[2]
    subprocess.run([sys.executable, "-c", FILL], env=env, cwd=root, check=True, timeout=120)


def test_a_contact_is_found_edited_and_taken_home(page: Page, filled: None, complaints: list[str]) -> None:
    page.get_by_role("navigation", name="Main").get_by_role("link", name="Contacts").click()
    expect(page.locator("#contacts")).to_contain_text("1–50 of 121 contacts")
    page.locator("#contacts-next").click()
    expect(page.locator("#contacts")).to_contain_text("51–100 of 121 contacts")
    expect(page.locator("#announcer")).to_have_text("51–100 of 121 contacts")
    page.locator("#contacts-next").press("Enter")
    expect(page.locator("#contacts")).to_contain_text("101–121 of 121 contacts")
    expect(page.locator("#contacts")).to_be_focused()  # the button can no more be pressed
    page.get_by_label("Search", exact=True).fill("(415) 555-0100")
    page.get_by_label("Search", exact=True).press("Enter")
    expect(page.locator("#contacts")).to_contain_text("1–1 of 1 contact, searched")
    assert page.url.endswith("/contacts/"), "no address holds what was searched for"
    page.locator("summary", has_text="Columns").click()
    page.get_by_label("Employees", exact=True).check()
    page.get_by_role("button", name="Show these").click()
    expect(page.locator(".contacts-table")).to_contain_text("11–50")
    page.get_by_role("link", name="Zelda Quirk").click()
    expect(page.get_by_role("heading", name="Zelda Quirk")).to_be_visible()
    one = page.url
    page.get_by_role("link", name="Edit", exact=True).click()
    page.get_by_label("Employees", exact=True).fill("1.2K")
    page.get_by_role("button", name="Save").click()
    expect(page.locator("main")).to_contain_text("1,200")
    expect(page.locator("main")).to_contain_text("Edited by hand")
    for width in (390, 1280):
        for scheme in ("light", "dark"):
            page.set_viewport_size({"width": width, "height": 900})
            page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
            for shown in (one, f"{one}edit", "/contacts/"):
                page.goto(shown)
                need_fit(page, f"{shown} at {width} px, {scheme}")
    page.locator("summary", has_text="Export").click()
    with page.expect_download() as taken:
        page.get_by_role("button", name="CSV").click()
    text = Path(taken.value.path()).read_text(encoding="utf-8-sig")
    assert len(re.findall(r"zelda@acme.example", text)) == 1
    assert text.count("\n") == 2
    assert complaints == []
