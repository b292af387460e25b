"""A last line that begins with "total": left out on evidence, kept where an ID is in it, kept and told in doubt."""

from __future__ import annotations

from pathlib import Path

import pytest

from rowmill.tabular.inspect import inspect_table

BODY = "ward,patient_id,note,amount\n" + "".join(f"w{i},P{i:07},ok,{i}.50\n" for i in range(1, 9))


@pytest.mark.parametrize(
    ("last", "rows", "codes"),
    [
        ("Total,,,1234.56", 8, ["footer"]),
        ('"Grand total:",,,"$1,234.56"', 8, ["footer"]),
        ("total,,,", 8, ["footer"]),
        ("total,P1099391,,", 9, []),
        ("total,1099391,,", 9, ["footer-maybe"]),
        ("total,0099391,,", 9, ["footer-maybe"]),
        ("total,,see chart,", 9, ["footer-maybe"]),
        ("Total knee replacement,,,12.00", 9, ["footer-maybe"]),
        ("total,P1099391,ok,5.00", 9, []),
    ],
)
def test_a_last_line_of_full_width(last: str, rows: int, codes: list[str], tmp_path: Path) -> None:
    path = tmp_path / "in.csv"
    for end in ("\n", ""):
        path.write_text(BODY + last + end)
        inspection = inspect_table(path)
        assert inspection.balance.balances
        assert (inspection.row_count, [f.code for f in inspection.findings]) == (rows, codes)
        assert all(f.line == 10 for f in inspection.findings)
