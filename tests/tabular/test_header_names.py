"""A header that may be somebody's row is not repeated: not in a finding, not in the inspection."""

from __future__ import annotations

from pathlib import Path

import pytest

from rowmill.registry import get_kind, rules_of
from rowmill.tabular.inspect import inspect_table

CLAIMS = get_kind("claim_status")
ROWS = "".join(f"CNRY{n},Cnryfirst,Cnrylast,1903-07-0{n},CNRYSUB{n}\n" for n in range(1, 8))
# The first row has no date, so that nothing tells it from a header but that no name in it is known.
DATELESS = "CNRY0,first nayme Cnry,last naem Cnry,unknown,CNRYSUB0\n" + ROWS


@pytest.mark.parametrize("text", [ROWS, DATELESS], ids=["a row", "a row without a date"])
def test_a_row_in_the_place_of_the_header_is_not_repeated(tmp_path: Path, text: str):
    file = tmp_path / "headless.csv"
    file.write_text(text)
    found = inspect_table(file, rules_of(CLAIMS))
    assert found.verdict == "unsound"
    assert {f.code for f in found.findings} >= {"column-missing"}
    assert "cnry" not in repr(found).casefold().replace(str(tmp_path).casefold(), "")


def test_a_misspelt_name_among_known_ones_is_told_with_the_nearest(tmp_path: Path):
    file = tmp_path / "misspelt.csv"
    file.write_text("claim_nmber,first_name,last_name,date_of_birth,subscriber_id\n" + ROWS)
    found = inspect_table(file, rules_of(CLAIMS))
    assert [f.message for f in found.findings] == [
        'Line 1: the column claim_number is missing. Nearest found: "claim_nmber" (column 1).'
    ]
