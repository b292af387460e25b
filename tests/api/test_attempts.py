"""The count of wrong sign-ins, raced by real threads on a real database."""

from __future__ import annotations

import threading

import pytest
from django.db import connections

from rowmill.api.attempts import Limit, TooManyAttempts, give_back, limited, take_attempt
from rowmill.models import AttemptCount


@pytest.mark.django_db(transaction=True)
def test_parallel_guesses_cannot_slip_under_the_limit() -> None:
    limit, let_in = (Limit(("race",), 5),), []
    start = threading.Barrier(12)

    def guess() -> None:
        start.wait()
        try:
            take_attempt(limit)
            let_in.append(True)
        except TooManyAttempts:
            pass
        finally:
            connections.close_all()

    threads = [threading.Thread(target=guess) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(let_in) == 5
    assert AttemptCount.objects.get().count == 12


def test_error_inside_is_not_counted(db: None) -> None:
    limits = (Limit(("a",), 5), Limit(("b",), 5))
    with pytest.raises(ZeroDivisionError), limited(limits):
        1 / 0  # noqa: B018
    assert set(AttemptCount.objects.values_list("count", flat=True)) == {0}


def test_giving_back_never_goes_below_nothing(db: None) -> None:
    limits = (Limit(("a",), 5),)
    take_attempt(limits)
    for _ in range(3):
        give_back(limits)
    assert AttemptCount.objects.get().count == 0


def test_words_are_kept_apart() -> None:
    assert Limit(("ab", "c"), 1).key != Limit(("a", "bc"), 1).key
