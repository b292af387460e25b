"""A process that starts while the database does so too waits for it, at each of its first questions."""

from __future__ import annotations

import pytest
from django.db import OperationalError

from rowmill.cli import safety
from rowmill.errors import ConfigError


def away(times: int):
    left = iter(range(times))

    def ask() -> str:
        if next(left, None) is not None:
            raise OperationalError("server closed the connection unexpectedly")
        return "there"

    return ask


@pytest.mark.django_db(transaction=True)
def test_it_asks_again_until_there_is_an_answer(monkeypatch) -> None:
    monkeypatch.setattr(safety.time, "sleep", lambda seconds: None)
    assert safety.once_answered(away(3)) == "there"


@pytest.mark.django_db(transaction=True)
def test_a_database_that_stays_away_is_told_in_words() -> None:
    with pytest.raises(ConfigError, match="DATABASE_URL"):
        safety.once_answered(away(1000), wait_seconds=-1)
