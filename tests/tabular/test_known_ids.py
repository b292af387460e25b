"""IDs that are not known: each has one cause, found as a plain reading of the same rules finds it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rowmill.errors import InputError
from rowmill.tabular import known_ids
from rowmill.tabular.known_ids import IdAccount, UnknownId, compare_ids

KNOWN = ["00123", "00456", "P-1001", "ABC77", "123456", "987654", "555001", "555002", "0"]


def write(path: Path, ids: Iterable[str], header: str = "patient_id") -> Path:
    path.write_text(f"visit,{header}\n" + "".join(f'{n},"{one}"\n' for n, one in enumerate(ids, 1)), encoding="utf-8")
    return path


def compare(tmp_path: Path, ids: Iterable[str], known: Iterable[str] = KNOWN, **more) -> IdAccount:
    return compare_ids(
        write(tmp_path / "t.csv", ids), write(tmp_path / "k.csv", known), known_column="patient_id", **more
    )


@pytest.mark.parametrize(
    ("told", "cause", "known"),
    [
        ("123", "leading-zeros", "00123"),
        ("000123", "leading-zeros", "00123"),
        (" 00456", "spaces", "00456"),
        ("\u00a000456\u200b", "spaces", "00456"),
        ("p-1001", "case", "P-1001"),
        (" p-1001 ", "case", "P-1001"),
        ("00456.0", "decimal", "00456"),
        ("456,00", "leading-zeros", "00456"),
        ("P1001", "signs", "P-1001"),
        ("p 10-01", "signs", "P-1001"),
        ("123465", "swapped", "123456"),
        ("987655", "near", "987654"),
        ("ABD77", "near", "ABC77"),
        ("ABCZ7", "absent", None),  # a letter is no slip for a digit
        ("555009", "several", None),
        ("0000", "leading-zeros", "0"),
        ("1", "absent", None),  # too short for its neighbours to mean anything
        ("\u00c40", "absent", None),  # a letter is no sign to leave out
        ("'; DROP TABLE ids; --", "absent", None),
    ],
)
def test_each_has_its_cause(tmp_path: Path, told: str, cause: str, known: str | None) -> None:
    account = compare(tmp_path, ["00123", told])
    assert (account.ids, account.unknown, account.causes) == (2, 1, {cause: 1})
    assert account.unknown_ids == (UnknownId(told, 1, 2, 3, cause, known),)


def test_what_is_known_is_not_told(tmp_path: Path) -> None:
    account = compare(tmp_path, KNOWN * 3)
    assert (account.ids, account.known, account.unknown, account.unknown_ids) == (len(KNOWN), len(KNOWN), 0, ())
    assert account.describe() == f"All {len(KNOWN)} IDs are known."
    assert account.balances


def test_rows_and_places_are_counted(tmp_path: Path) -> None:
    account = compare(tmp_path, ["00123", "123", "nobody", "", "123", " ", "nobody", "123"])
    assert (account.ids, account.unknown, account.unknown_rows, account.blank_rows) == (3, 2, 5, 2)
    assert [(one.id, one.rows, one.row, one.line) for one in account.unknown_ids] == [
        ("123", 3, 2, 3),
        ("nobody", 2, 3, 4),
    ]
    assert account.describe() == (
        "File contains 2 patient IDs not in patient file: 1 matches when leading zeros are restored, 1 is truly absent."
    )
    assert compare(tmp_path, ["nobody", "123"], limit=1).unknown_ids[0].id == "nobody"


def test_lines_are_those_of_the_file(tmp_path: Path) -> None:
    table = tmp_path / "t.csv"
    table.write_text('patient_id,note\n00123,"two\nlines"\n\n123,x\n')
    account = compare_ids(table, write(tmp_path / "k.csv", KNOWN), known_column="patient_id")
    assert [(one.row, one.line) for one in account.unknown_ids] == [(2, 5)]


def test_columns_are_found_by_name(tmp_path: Path) -> None:
    table, known = write(tmp_path / "t.csv", ["123"], "MRN"), tmp_path / "k.csv"
    known.write_text(" Mrn ,born\n00123,1980\n")
    assert compare_ids(table, known).unknown == 1
    assert compare_ids(table, known, "visit").causes == {"absent": 1}
    for column, known_column in (("", "born"), ("nothing", ""), ("", "nothing")):
        with pytest.raises(InputError) as refused:
            compare_ids(table, known, column, known_column)
        assert refused.value.code == "no_column"


def test_files_that_are_not_sound_are_refused_without_a_cell(tmp_path: Path) -> None:
    sound, broken = write(tmp_path / "k.csv", KNOWN), tmp_path / "broken.csv"
    broken.write_text('patient_id,x\nsecret,"a\n')
    for table, known in ((broken, sound), (sound, broken)):
        with pytest.raises(InputError, match="broken.csv is not sound") as refused:
            compare_ids(table, known)
        assert refused.value.code == "unsound"
        assert "secret" not in str(refused.value)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["broken.csv", "k.csv"]


def test_beyond_the_limit_neighbours_are_looked_for_among_the_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(known_ids, "NEAR_IDS", 1)
    monkeypatch.setattr(known_ids, "_NEAR", known_ids._NEAR.replace("LIMIT 20000", "LIMIT 1"))
    account = compare(tmp_path, ["123465", "987655"])
    assert (account.causes, account.near_searched) == ({"swapped": 1, "absent": 1}, False)


# ------------------------------------------------------------------------------------------------ against a plain reading

SPACES = " \t\u00a0\u200b\ufeff"
STEPS = {
    "spaces": lambda one: one.strip(SPACES),
    "case": lambda one: one.upper(),
    "decimal": lambda one: re.sub(r"^([0-9]+)[.,]0+$", r"\1", one),
    "leading-zeros": lambda one: (one.lstrip("0") or "0") if re.fullmatch("[0-9]+", one) else one,
    "signs": lambda one: "".join(sign for sign in one if sign.isalnum()),
}


def neighbours(one: str) -> Iterable[tuple[str, str]]:
    """Give what is one slip away, with the slip's name."""
    if not 4 <= len(one) <= 40:
        return
    for place, sign in enumerate(one):
        others = next((a for a in ("0123456789", "ABCDEFGHIJKLMNOPQRSTUVWXYZ") if sign in a), "")
        yield from ((one[:place] + other + one[place + 1 :], "near") for other in others if other != sign)
        if place + 1 < len(one) and one[place + 1] != sign:
            yield one[:place] + one[place + 1] + sign + one[place + 2 :], "swapped"


def judge(one: str, known: list[str]) -> tuple[str, str | None]:
    """Find the cause of one unknown ID, one rule after another."""
    form, forms = one, {each: each for each in known}
    for cause, change in STEPS.items():
        form, forms = change(form), {each: change(forms[each]) for each in known}
        fits = {each for each in known if forms[each] == form}
        if fits:
            return (cause, fits.pop()) if len(fits) == 1 else ("several", None)
    found = {(each, cause) for near, cause in neighbours(form) for each in known if forms[each] == near}
    fits = {each for each, _ in found}
    if len(fits) == 1:
        return min(cause for _, cause in found), fits.pop()
    return ("several", None) if fits else ("absent", None)


IDS = st.lists(
    st.one_of(
        st.from_regex(r"\A[01]{1,6}\Z"),
        st.from_regex(r"\A[ \xa0]?[aAbB][-. ]?[01]{2,4}(\.0)?[ \u200b]?\Z"),
        st.from_regex(r"\A0{0,2}[12]{3,5}([.,]0)?\Z"),
    ),
    min_size=1,
    max_size=12,
    unique=True,
)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(IDS, IDS)
def test_the_causes_are_those_of_a_plain_reading(tmp_path: Path, ids: list[str], known: list[str]) -> None:
    account = compare(tmp_path, ids, known)
    assert {one.id: (one.cause, one.known) for one in account.unknown_ids} == {
        one: judge(one, known) for one in ids if one not in known
    }
    assert account.balances
