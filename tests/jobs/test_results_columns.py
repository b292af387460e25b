"""Columns of the file that the kind does not know come back whole, whatever they are called."""

from __future__ import annotations

import pytest

from rowmill.jobs.results import iter_results
from rowmill.jobs.submit import take_file
from tests.jobs.conftest import work

pytestmark = pytest.mark.django_db


def test_doubled_and_nameless_columns_keep_their_own_cells(alice):
    file = b"note,id,seen,,seen\nn1,1,first,second,third\nn2,2,fourth,fifth,sixth\n"
    job = take_file(alice, "probe", "doubled.csv", [file], intent={}).job
    work()
    job.refresh_from_db()
    header, lines = iter_results(job)
    assert header[-3:] == ("seen", "column_4", "seen_2")
    assert [line[-3:] for line in lines] == [("first", "second", "third"), ("fourth", "fifth", "sixth")]
