"""Stretches of rows that are made ready by threads while the one before is worked on."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager

import pytest

from rowmill.merging.ahead import prepare_ahead

STRETCHES = [(number, number) for number in range(1, 8)]


class Ready:
    """Keeps account of what is ready, and who made it."""

    def __init__(self, bad: int = 0) -> None:
        self.bad, self.ready, self.most, self.order = bad, set[int](), 0, list[int]()
        self.threads: set[str] = set()

    @contextmanager
    def prepare(self, first: int, last: int) -> Iterator[int]:
        if first == self.bad:
            raise MemoryError
        self.threads.add(threading.current_thread().name)
        self.ready.add(first)
        self.most = max(self.most, len(self.ready))
        self.order.append(first)
        try:
            yield first
        finally:
            self.ready.discard(first)


def test_they_come_in_their_order_two_at_a_time_and_go_when_done():
    account, seen = Ready(), []
    with closing(prepare_ahead(account.prepare, STRETCHES)) as ahead:
        for (first, _), holding in ahead:
            with holding as prepared:
                seen.append((first, prepared))
                assert prepared in account.ready
    assert seen == [(first, first) for first, _ in STRETCHES]
    assert (account.ready, account.most) == (set(), 2)
    assert threading.current_thread().name not in account.threads


def test_what_cannot_be_prepared_is_told_at_its_turn_and_the_others_go_on():
    account, seen = Ready(bad=3), []
    with closing(prepare_ahead(account.prepare, STRETCHES)) as ahead:
        for (first, _), holding in ahead:
            try:
                with holding:
                    seen.append(first)
            except MemoryError:
                seen.append(-first)
    assert seen == [1, 2, -3, 4, 5, 6, 7]


def test_whoever_stops_in_the_middle_leaves_nothing_ready():
    account = Ready()

    def stop() -> None:
        with closing(prepare_ahead(account.prepare, STRETCHES)) as ahead:
            for _, holding in ahead:
                with holding:
                    raise KeyError

    with pytest.raises(KeyError):
        stop()
    assert account.ready == set()
    assert 1 <= len(account.order) <= 2
