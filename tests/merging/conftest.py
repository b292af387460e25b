"""Fixtures of the merge's tests: contact files taken in through the real door and worked off by the engine."""

from __future__ import annotations

import csv
import io
import itertools
from collections.abc import Callable, Iterable, Sequence

import pytest

from rowmill.jobs.submit import take_file
from rowmill.models import Job
from rowmill.orgs import find_caller
from tests.jobs.conftest import work_until_final

_salt = itertools.count(1)


def as_csv(header: Sequence[str], rows: Iterable[Sequence[str]]) -> bytes:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return out.getvalue().encode()


@pytest.fixture
def alice(people):
    return find_caller(people.alice)


@pytest.fixture
def import_rows(alice) -> Callable[..., Job]:
    """Import a file as CSV and work until it has ended."""

    def run(header: Sequence[str], rows: Iterable[Sequence[str]], state: str = "COMPLETED", **options) -> Job:
        data = as_csv(header, rows)
        intent = {"go_ahead": True, **options}  # whatever it would change
        made = take_file(alice, "contact_import", "contacts.csv", [data], intent=intent, confirm_duplicate=True)
        job = Job.objects.select_related("upload", "org").get(pk=made.job.pk)
        assert work_until_final(job) == state
        return job

    return run
