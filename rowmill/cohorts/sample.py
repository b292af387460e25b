"""Makes a cohort of invented patients: a patient file, and a lab table of which some IDs are damaged in known ways."""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

_LETTERS = "ABCDEFGHJKLMNPQRSTUVWXYZ"
_DAMAGED_SHARE = 0.1
_TESTS = ("HGB", "CRE", "GLU", "TSH", "CRP")


def make_cohort(rows: int, seed: int, out: Path, book: Path | None = None) -> dict[str, int]:
    """Write a lab table of so many rows to `out`, and the patients beside it (`labs.csv` -> `labs-patients.csv`).

    With a book, JSON lines say of each row what its ID was and what was done to it: "" or the cause by which the check
    must name it. Shape: how many distinct IDs were damaged by each cause. Again: the same rows and seed, the same bytes.
    """
    dice = Random(seed)
    patients = _make_patients(dice, max(1, -(-rows // 4)))
    damaged = _damage_some(dice, patients)
    counts: Counter[str] = Counter(cause for cause, _ in damaged.values())
    _write_patients(patients_path(out), dice, patients)
    with out.open("w", encoding="utf-8", newline="") as file:
        lines = csv.writer(file, lineterminator="\n")
        lines.writerow(("lab_id", "patient_id", "test", "value"))
        pages = [
            _write_row(lines, dice, row, patients[(row - 1) % len(patients)], damaged) for row in range(1, rows + 1)
        ]
    if book is not None:
        book.write_text("".join(json.dumps(page) + "\n" for page in pages), encoding="utf-8")
    return dict(sorted(counts.items()))


def patients_path(out: Path) -> Path:
    """Give where the patient file lies that belongs to a lab table."""
    return out.with_name(f"{out.stem}-patients.csv")


def _make_patients(dice: Random, count: int) -> list[str]:
    """Make IDs that are far from each other: a damaged one then has one original only."""
    ids = []
    for number in range(1, count + 1):
        digits = f"{number:07d}"
        if number % 2:
            ids.append(f"00{digits}{_checks(digits)}")  # digits alone: leading zeros count
        else:
            ids.append(f"{_LETTERS[number % len(_LETTERS)]}-{digits}{_checks(digits)}")
    dice.shuffle(ids)
    return ids


def _checks(digits: str) -> str:
    """Give three digits that change with any one digit and with any swap of neighbours."""
    weighed = sum((place + 2) * int(digit) for place, digit in enumerate(digits))
    cubed = sum((place + 1) ** 3 * int(digit) for place, digit in enumerate(digits))
    return f"{weighed % 37:02d}{cubed % 7}"


def _damage_some(dice: Random, patients: list[str]) -> dict[str, tuple[str, str]]:
    """Damage the IDs of a tenth of the patients. Shape: the ID -> (cause, the ID as it stands in the file)."""
    damaged: dict[str, tuple[str, str]] = {}
    known = {_form(patient) for patient in patients}
    chosen = dice.sample(patients, max(1, int(len(patients) * _DAMAGED_SHARE)))
    taken: set[str] = set()
    used: Counter[bool] = Counter()
    for patient in chosen:
        ways = _NUMERIC if patient.isdigit() else _LETTERED
        cause, change = ways[used[patient.isdigit()] % len(ways)]
        used[patient.isdigit()] += 1
        written = change(patient, dice)
        if written != patient and written not in taken and _is_plain(cause, written, patient, known):
            damaged[patient] = (cause, written)
            taken.add(written)
    return damaged


def _form(text: str) -> str:
    """Give an ID as the check compares it: in capitals, without signs and leading zeros."""
    plain = text.strip().upper().replace("-", "")
    return plain.lstrip("0") if plain.isdigit() else plain


def _is_plain(cause: str, written: str, patient: str, known: set[str]) -> bool:
    """Tell whether a damaged ID is one only: it has exactly one original, and that is its patient's."""
    form = _form(written)
    if cause not in ("near", "swapped"):
        return True
    near = {form[:at] + digit + form[at + 1 :] for at in range(len(form)) for digit in "0123456789"}
    near |= {form[:at] + form[at + 1] + form[at] + form[at + 2 :] for at in range(len(form) - 1)}
    return form not in known and len(form) >= 4 and near & known == {_form(patient)}


def _swap(patient: str, dice: Random) -> str:
    """Exchange the first two neighbours from the end that differ, of which the first is no zero in front."""
    for place in range(len(patient) - 2, 2, -1):
        if patient[place] != patient[place + 1]:
            return patient[:place] + patient[place + 1] + patient[place] + patient[place + 2 :]
    return patient


def _slip(patient: str, dice: Random) -> str:
    """Put another digit in the last place."""
    return patient[:-1] + str((int(patient[-1]) + 5) % 10)


_NUMERIC: tuple[tuple[str, Callable[[str, Random], str]], ...] = (
    ("leading-zeros", lambda patient, dice: patient.lstrip("0")),
    ("spaces", lambda patient, dice: f" {patient}"),
    ("near", _slip),
    ("swapped", _swap),
    ("absent", lambda patient, dice: f"X{dice.randrange(10**11):011d}QQ"),
)
_LETTERED: tuple[tuple[str, Callable[[str, Random], str]], ...] = (
    ("case", lambda patient, dice: patient.lower()),
    ("signs", lambda patient, dice: patient.replace("-", "")),
    ("spaces", lambda patient, dice: f"{patient} "),
)


def _write_patients(path: Path, dice: Random, patients: list[str]) -> None:
    """Write the patient file."""
    with path.open("w", encoding="utf-8", newline="") as file:
        lines = csv.writer(file, lineterminator="\n")
        lines.writerow(("patient_id", "sex", "birth_year"))
        lines.writerows((patient, dice.choice("FM"), dice.randint(1930, 2015)) for patient in patients)


def _write_row(
    lines: Any, dice: Random, row: int, patient: str, damaged: dict[str, tuple[str, str]]
) -> dict[str, object]:
    """Write one row and give its page of the book."""
    cause, written = damaged.get(patient, ("", patient))
    lines.writerow((row, written, dice.choice(_TESTS), f"{dice.uniform(0.1, 300):.1f}"))
    return {"row": row, "patient_id": patient, "written": written, "cause": cause}
