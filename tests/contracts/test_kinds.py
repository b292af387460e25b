"""The suite that every listed kind passes, by being listed."""

from __future__ import annotations

from uuid import uuid4

import pytest

from rowmill.contracts import BatchInfo, JobInfo, Kind, Outcome, Problem, Row
from rowmill.registry import CHECKS, KINDS, get_kind

# Other tests list kinds of their own.
LISTED = sorted(slug for slug, path in KINDS.items() if path.startswith("rowmill."))


@pytest.fixture(params=LISTED)
def kind(request: pytest.FixtureRequest) -> Kind:
    return get_kind(str(request.param))


def test_names_itself_as_it_is_listed(kind: Kind) -> None:
    assert kind is get_kind(kind.slug)
    assert kind.label


def test_its_columns_and_checks_are_known(kind: Kind) -> None:
    names = [column.name for column in kind.columns]
    assert len(names) == len(set(names))
    for column in kind.columns:
        assert column.label
        assert column.help
        assert set(column.checks) <= CHECKS.keys()
        assert column.required or not column.filled
    assert set(kind.checks) <= CHECKS.keys()


def test_its_sizes_make_sense(kind: Kind) -> None:
    assert 0 < kind.checkpoint_rows <= kind.batch_rows
    assert kind.lease_seconds > 0
    assert kind.max_attempts > 0


def test_result_cells_match_the_header_whatever_the_outcome(kind: Kind) -> None:
    row = Row(5, 6, {column.name: "" for column in kind.columns})
    results: list[Outcome | None] = [None, Outcome(5, "ok"), Outcome(5, "failed", "X", "Y")]
    for result in results:
        cells = kind.result_cells(row, result, {})
        assert len(cells) == len(kind.result_header)
        assert all(isinstance(cell, str) for cell in cells)
        assert cells[0] == "5"


def test_rows_with_problems_are_rejected_and_no_value_is_told(kind: Kind) -> None:
    cells = {column.name: "CANARY" for column in kind.columns}
    rows = [Row(n, n + 1, cells, problems=(Problem("no-such-check", kind.columns[0].name),)) for n in (1, 2, 3)]
    batch = BatchInfo(1, JobInfo(uuid4(), 1, kind.slug, {}, 3), 1, 3)
    found = list(kind.process(batch, rows))
    assert sorted(outcome.row_number for outcome in found) == [1, 2, 3]
    assert {outcome.outcome for outcome in found} == {"rejected"}
    assert "CANARY" not in repr(found)
