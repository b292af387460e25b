"""What a spreadsheet has done to cells is told, column by column; what only looks like it is not."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from datetime import date, timedelta
from pathlib import Path

import pytest

from rowmill.contracts import Finding
from rowmill.tabular.child import inspect_in_child
from rowmill.tabular.excel_damage import find_excel_damage
from rowmill.tabular.inspect import inspect_table, open_table
from rowmill.tabular.wording import WORDING

Chance = random.Random
EPOCH = date(1899, 12, 30)


def look(tmp_path: Path, columns: dict[str, Sequence[str]]) -> list[Finding]:
    path = tmp_path / "in.csv"
    rows = zip(*columns.values(), strict=True)
    lines = [",".join(columns), *(",".join(f'"{c}"' if "," in c else c for c in row) for row in rows)]
    path.write_text("\n".join(lines) + "\n")
    with open_table(path) as reading:
        assert reading.inspection.verdict == "sound"
        return find_excel_damage(reading)


def told(tmp_path: Path, name: str, cells: Sequence[str]) -> list[tuple[str, int, int | None]]:
    found = look(tmp_path, {"first": ["x"] * len(cells), name: cells})
    assert all(f.column == 2 and f.column_name == name and f.severity == "warning" for f in found)
    return [(f.code, f.count, f.line) for f in found]


def draw(make: Callable[[Chance], str], rows: int = 400, seed: int = 1) -> list[str]:
    chance = Chance(seed)
    return [make(chance) for _ in range(rows)]


def unpadded(cells: Sequence[str]) -> list[str]:
    return [str(int(cell)) for cell in cells]


# ------------------------------------------------------------------------------------------------ damage


def test_zeros_lost_beside_numbers_that_kept_theirs(tmp_path: Path):
    cells = draw(lambda chance: f"{chance.randrange(10**8):08}")
    cells[10:20] = unpadded(["00123456"] * 10)
    assert told(tmp_path, "reference", cells) == [("excel-lost-zeros", 10, 12)]


@pytest.mark.parametrize(
    ("name", "width"),
    [
        ("ZIP", 5),
        ("zip_code", 5),
        ("Postal Code", 5),
        ("patientSSN", 9),
        ("tax_id", 9),
        ("NDC", 11),
        ("Revenue Code", 4),
    ],
)
def test_zeros_lost_in_a_column_whose_numbers_have_a_known_length(tmp_path: Path, name: str, width: int):
    cells = unpadded(draw(lambda chance: f"{chance.randrange(10 ** (width - 3), 10**width):0{width}}"))
    short = [line for line, cell in enumerate(cells, 2) if len(cell) < width]
    assert short
    assert told(tmp_path, name, cells) == [("excel-lost-zeros", len(short), short[0])]


@pytest.mark.parametrize("rows", [60, 400, 5000])
def test_ids_of_which_none_keeps_a_zero_may_be_any_numbers(tmp_path: Path, rows: int):
    cells = unpadded(draw(lambda chance: f"{chance.randrange(10**9):09}", rows))
    assert told(tmp_path, "member_id", cells) == []
    kept = [cell.rjust(9, "0") if place % 2 else cell for place, cell in enumerate(cells)]
    short = sum(len(cell) < 9 for cell in kept)
    assert [(code, count) for code, count, _ in told(tmp_path, "member_id", kept)] == [("excel-lost-zeros", short)]


def test_long_numbers_in_scientific_notation(tmp_path: Path):
    cells = draw(lambda chance: str(chance.randrange(10**11, 10**12)))
    cells[5] = cells[7] = "1.23E+15"
    assert told(tmp_path, "claim_number", cells) == [("excel-scientific", 2, 7)]
    assert told(tmp_path, "barcode", ["1.23457E+12", "4.00638E+12"] * 20) == [("excel-scientific", 40, 2)]


def test_codes_with_an_e_in_them(tmp_path: Path):
    cells = draw(lambda chance: f"{chance.randrange(10, 99)}{chance.choice('ABCDF')}{chance.randrange(10)}")
    cells[3] = "1.20E+06"
    assert told(tmp_path, "device", cells) == [("excel-scientific", 1, 5)]


@pytest.mark.parametrize("digits", [16, 17, 19])
def test_long_numbers_rounded_to_15_digits(tmp_path: Path, digits: int):
    cells = draw(lambda chance: str(chance.randrange(10**14, 10**15)) + "0" * (digits - 15))
    assert told(tmp_path, "card", cells) == [("excel-rounded", 400, 2)]


def test_a_few_rounded_numbers_among_very_long_ones(tmp_path: Path):
    cells = draw(lambda chance: str(chance.randrange(10**18, 10**19)), 100)
    cells[50:54] = [cell[:14] + "70000" for cell in cells[50:54]]
    assert told(tmp_path, "trace", cells) == [("excel-rounded", 4, 52)]


@pytest.mark.parametrize("damaged", ["Mar-4", "4-Mar", "2-Sep", "Sep-02", "10-Dec"])
def test_days_among_codes(tmp_path: Path, damaged: str):
    cells = draw(lambda chance: f"{chance.choice(['TP', 'BRCA', 'MARCHF', 'KRAS'])}{chance.randrange(1, 60)}")
    cells[9] = damaged
    assert told(tmp_path, "gene", cells) == [("excel-month-day", 1, 11)]


def test_ranges_that_became_days(tmp_path: Path):
    cells = ["0-4", "9-May", "14-Oct", "15-19", "20-24", "25-29", "30-34"] * 10
    assert told(tmp_path, "age group", cells) == [("excel-month-day", 20, 3)]


@pytest.mark.parametrize("form", ["%Y-%m-%d", "%m/%d/%Y", "%d.%m.%Y"])
def test_day_numbers_among_dates(tmp_path: Path, form: str):
    cells = draw(lambda chance: (date(1960, 1, 1) + timedelta(chance.randrange(20000))).strftime(form))
    cells[20], cells[21] = "43831", "43831.75"
    assert told(tmp_path, "seen", cells) == [("excel-serial-date", 2, 22)]


def test_nothing_but_day_numbers_in_a_column_of_dates(tmp_path: Path):
    cells = draw(lambda chance: str((date(1960, 1, 1) + timedelta(chance.randrange(20000)) - EPOCH).days))
    assert told(tmp_path, "Date of Birth", cells) == [("excel-serial-date", 400, 2)]
    assert told(tmp_path, "serviceDate", cells) == [("excel-serial-date", 400, 2)]


def test_cells_cut_at_the_longest_that_a_sheet_holds(tmp_path: Path):
    cells = ["some words"] * 10
    cells[4] = "x y" * 10922 + "z"
    assert len(cells[4]) == 32_767
    assert told(tmp_path, "notes", cells) == [("excel-cut-cell", 1, 6)]
    assert told(tmp_path, "notes", [*cells[:4], cells[4] + "z", *cells[5:]]) == []
    assert told(tmp_path, "notes", [*cells[:4], "é" * 32_767, *cells[5:]]) == [("excel-cut-cell", 1, 6)]
    assert told(tmp_path, "notes", [*cells[:4], "é" * 16_384, *cells[5:]]) == []


def test_each_column_is_told_by_itself_with_what_can_be_done(tmp_path: Path):
    zips = unpadded(draw(lambda chance: f"{chance.randrange(501, 99999):05}"))
    cards = draw(lambda chance: str(chance.randrange(10**14, 10**15)) + "0")
    found = look(tmp_path, {"zip": zips, "name": ["Ann"] * 400, "card": cards})
    assert [(f.code, f.column) for f in sorted(found, key=lambda f: f.column or 0)] == [
        ("excel-lost-zeros", 1),
        ("excel-rounded", 3),
    ]
    words = {f.code: f"{f.message} {f.mend}" for f in found}
    assert "400 numbers" in words["excel-lost-zeros"]
    assert "5 digits" in words["excel-lost-zeros"]
    assert "Nothing is lost" in words["excel-lost-zeros"]
    assert "cannot be undone" in words["excel-rounded"]
    assert not any(cell in text for text in words.values() for cell in zips if len(cell) > 3)


def test_damage_behind_a_long_beginning_without_any(tmp_path: Path):
    cells = draw(lambda chance: f"{chance.randrange(10**8):08}", 6000)
    cells[5500] = "1234567"
    assert told(tmp_path, "reference", cells) == [("excel-lost-zeros", 1, 5502)]
    codes = draw(lambda chance: f"Q{chance.randrange(10**4)}", 6000)
    codes[5500] = "2-Sep"
    assert told(tmp_path, "gene", codes) == [("excel-month-day", 1, 5502)]
    late = [""] * 5000 + cells[:5] + ["1.2E+15"] + [f"{i:08}" for i in range(9000000, 9000994)]
    assert told(tmp_path, "serial", late) == [("excel-scientific", 1, 5007)]


def test_a_file_that_is_not_sound_at_its_top_is_not_looked_at(tmp_path: Path):
    path = tmp_path / "in.csv"
    path.write_text("a,b\n1,2,3\n")
    with open_table(path) as reading:
        assert find_excel_damage(reading) == []
    path.write_bytes(b"%PDF-1.7")
    with open_table(path) as reading:
        assert find_excel_damage(reading) == []


# ------------------------------------------------------------------------------------------------ no damage

DAY = date(2000, 1, 1)
CLEAN: dict[str, Callable[[Chance], str]] = {
    "phone": lambda c: f"{c.randrange(2 * 10**9, 10**10)}",
    "phone_de": lambda c: f"0{c.randrange(10**6, 10**11)}",
    "fax": lambda c: f"({c.randrange(200, 999)}) {c.randrange(200, 999)}-{c.randrange(10**4):04}",
    "amount": lambda c: f"{c.randrange(10**6) / 100:.2f}",
    "amount_grouped": lambda c: f"{c.randrange(10**8) / 100:,.2f}",
    "total_cents": lambda c: str(c.randrange(10**7)),
    "balance": lambda c: str(c.randrange(-5000, 5000)),
    "zip": lambda c: f"{c.randrange(501, 99951):05}",
    "zip4": lambda c: f"{c.randrange(501, 99951):05}" + c.choice(["", f"-{c.randrange(10**4):04}"]),
    "ssn": lambda c: f"{c.randrange(10**9):09}",
    "npi": lambda c: str(c.randrange(10**9, 2 * 10**9)),
    "year": lambda c: str(c.randrange(1900, 2030)),
    "age": lambda c: str(c.randrange(110)),
    "count": lambda c: str(c.randrange(100000)),
    "quantity": lambda c: str(c.choice([1, 2, 3, 10, 12, 100, 1000])),
    "population": lambda c: str(int(10 ** c.uniform(1, 9))),
    "score": lambda c: f"{c.random():.6f}",
    "reading": lambda c: f"{c.uniform(1, 9):.3f}E{c.choice('+-')}{c.randrange(20):02}",
    "particles": lambda c: f"{c.uniform(1, 9):.2f}E+{c.randrange(18, 25)}",
    "flux": lambda c: c.choice([f"{c.uniform(0, 9):.4f}", f"{c.uniform(1, 9):.2f}E+{c.randrange(5, 20):02}"]),
    "dob": lambda c: (DAY + timedelta(c.randrange(9000))).isoformat(),
    "seen": lambda c: (DAY + timedelta(c.randrange(9000))).strftime("%m/%d/%Y"),
    "last_seen": lambda c: (DAY + timedelta(c.randrange(9000))).strftime("%d.%m.%y"),
    "date": lambda c: (DAY + timedelta(c.randrange(9000))).strftime("%Y%m%d"),
    "stamp": lambda c: (DAY + timedelta(seconds=c.randrange(9**9))).strftime("%Y-%m-%dT%H:%M:%SZ"),
    "period": lambda c: (DAY + timedelta(c.randrange(9000))).strftime("%b-%y"),
    "birthday": lambda c: (DAY + timedelta(c.randrange(9000))).strftime("%d-%b"),
    "epoch": lambda c: str(c.randrange(15 * 10**8, 17 * 10**8)),
    "epoch_ms": lambda c: str(c.randrange(15 * 10**11, 17 * 10**11)),
    "epoch_us": lambda c: f"{c.randrange(15 * 10**8, 17 * 10**8)}000000",
    "epoch_ns": lambda c: f"{c.randrange(15 * 10**14, 17 * 10**14)}000",
    "card_number": lambda c: str(c.randrange(4 * 10**15, 5 * 10**15)),
    "trace_id": lambda c: str(c.randrange(10**18, 10**19)),
    "big_money": lambda c: str(c.randrange(1, 9) * 10 ** c.randrange(10, 20)),
    "claim_number": lambda c: f"C{c.randrange(10**9):09}",
    "account": lambda c: str(c.randrange(10**8, 10**9)),
    "member_id": lambda c: f"{c.randrange(10**11):011}",
    "patient_id": lambda c: f"P-{c.randrange(10**5)}",
    "order_no": lambda c: f"{c.randrange(2015, 2026)}-{c.randrange(10**4)}",
    "code": lambda c: c.choice(["A", "B", "01", "02", "10", "11", "99"]),
    "icd": lambda c: f"{c.choice('EJKM')}{c.randrange(10, 99)}.{c.randrange(10)}",
    "cpt": lambda c: c.choice(["99213", "99214", "0042T", "A0428", "00100"]),
    "revenue_code": lambda c: c.choice(["0450", "0300", "0120", "0250"]),
    "hash": lambda c: f"{c.getrandbits(64):016x}",
    "uuid": lambda c: f"{c.getrandbits(32):08x}-{c.getrandbits(16):04x}-4{c.getrandbits(12):03x}",
    "name": lambda c: c.choice(["Ann", "May", "April", "Jean-Luc", "O'Neil", "June", "Smith-Jones", "Dec"]),
    "note": lambda c: c.choice(["4-Mar call back", "left a message", "sent 2E+3 forms", "see 4-Mar", ""]),
    "size": lambda c: c.choice(["0-4", "5-9", "10-14", "15-19", "20-24"]),
    "time": lambda c: f"{c.randrange(24):02}:{c.randrange(60):02}",
    "percent": lambda c: f"{c.randrange(101)}%",
    "flag": lambda c: c.choice(["0", "1"]),
    "version": lambda c: f"{c.randrange(9)}.{c.randrange(20)}.{c.randrange(99)}",
    "ip": lambda c: ".".join(str(c.randrange(256)) for _ in range(4)),
    "lat": lambda c: f"{c.uniform(-90, 90):.6f}",
    "postcode": lambda c: c.choice(["SW1A 1AA", "EC1V 9HX", "M1 1AE", "8000", "10115"]),
    "date_key": lambda c: str(c.randrange(20000, 60000)),
    "due_days": lambda c: str(c.randrange(20000, 60000)),
    "model": lambda c: c.choice(["E+22", "X-100", "A-Mar", "MAR-4", "1E5", "12e6", "E+H"]),
}


@pytest.mark.parametrize(("seed", "rows"), [(1, 12), (2, 60), (3, 400), (4, 3000)])
def test_clean_cells_of_many_shapes_raise_nothing(tmp_path: Path, seed: int, rows: int):
    cells = {name: draw(make, rows, seed) for name, make in CLEAN.items()}
    assert look(tmp_path, cells) == []
    gaps = {
        name: [cell if (i + j) % 3 else "" for i, cell in enumerate(column)]
        for j, (name, column) in enumerate(cells.items())
    }
    assert look(tmp_path, gaps) == []


NAMES = ("id", "row", "value", "patient_id", "claim_number", "code", "order number")


@pytest.mark.parametrize("rows", [30, 400, 3000])
def test_numbers_that_count_up_raise_nothing(tmp_path: Path, rows: int):
    columns = {
        f"{name} {'x' * i}": [str(number) for number in range(first, first + rows)]
        for name in NAMES
        for i, first in enumerate((1, 95, 990, 99_950, 9_999_800))
    }
    assert look(tmp_path, columns) == []


def test_whole_numbers_by_chance_raise_nothing(tmp_path: Path):
    columns = {
        f"{name} {'x' * digits}": draw(lambda chance, digits=digits: str(chance.randrange(10**digits)), 2000)  # type: ignore[misc]
        for name in ("value", "count", "amount")
        for digits in (3, 5, 6, 8, 10)
    }
    assert look(tmp_path, columns) == []
    assert told(tmp_path, "id", draw(lambda chance: str(chance.randrange(10**8)), 2000)) == []


def test_postal_codes_of_the_world_raise_nothing(tmp_path: Path):
    zips = ["8001", "02134", "10115", "3011", "94105"] * 20
    assert look(tmp_path, {"zip": zips, "country": ["CH", "US", "DE", "CH", "USA"] * 20}) == []
    found = look(tmp_path, {"zip": [*zips[1:5], "2134"] * 20, "country": ["US", "DE", "CH", "USA", ""] * 20})
    assert [(f.code, f.count, f.line) for f in found] == [("excel-lost-zeros", 20, 6)]


def test_it_is_looked_for_where_it_is_asked_for_only(tmp_path: Path):
    path = tmp_path / "in.csv"
    path.write_text("first,reference\n" + "x,00001234\n" * 100 + "x,1234\n" * 10 + "x,00001234\n" * 890)
    assert inspect_table(path).findings == ()
    found = inspect_table(path, thorough=True)
    assert found.verdict == "sound"
    assert [(f.code, f.count, f.line, f.row) for f in found.findings] == [("excel-lost-zeros", 10, 102, 101)]
    assert [(c.code, c.count, c.column) for c in found.causes] == [("excel-lost-zeros", 10, 2)]
    assert found.damage.strip(".").strip("w") == ""
    assert "w" in found.damage[19:23]
    assert inspect_in_child(path, thorough=True).findings == found.findings
    assert inspect_in_child(path).findings == ()


def test_every_kind_of_damage_has_its_words():
    codes = {code for code in WORDING if code.startswith("excel-")}
    assert len(codes) == 6
    assert {WORDING[code].severity for code in codes} == {"warning"}
