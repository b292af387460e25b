"""Damage on purpose: each kind is told by its code at the line that was damaged."""

from __future__ import annotations

from pathlib import Path

import pytest

from rowmill.claims.sample import make_claims
from rowmill.tabular.damage import KINDS, put_damage
from rowmill.tabular.inspect import inspect_table

TOLD_AS = {
    "surplus-empty-field": {"too-many-fields"},
    "quote-not-closed": {"quote-not-closed", "quote-swallows-rows"},
    "quote-not-escaped": {"quote-not-escaped", "text-after-quote"},
    "truncated": {"truncated", "too-few-fields", "quote-not-closed"},
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", range(4))
def test_damage_is_told_at_its_line(kind: str, seed: int, tmp_path: Path) -> None:
    path = tmp_path / "claims.csv"
    make_claims(30, seed, path, None)
    before = path.read_bytes()
    line = put_damage(path, kind, seed)
    assert path.read_bytes() != before
    findings = inspect_table(path).findings
    assert any(f.line == line and f.code in TOLD_AS.get(kind, {kind}) for f in findings), (line, findings)


def test_the_same_seed_damages_the_same_place(tmp_path: Path) -> None:
    files = []
    for name in ("a.csv", "b.csv"):
        make_claims(30, 5, tmp_path / name, None)
        put_damage(tmp_path / name, "nul-byte", 5)
        files.append((tmp_path / name).read_bytes())
    assert files[0] == files[1]


def test_a_file_without_rows_cannot_be_damaged(tmp_path: Path) -> None:
    path = tmp_path / "in.csv"
    path.write_bytes(b"id,name\n")
    with pytest.raises(ValueError, match="no row"):
        put_damage(path, "nul-byte", 1)
