"""A simulator for the whole run of these tests, and a call loop that is closed after each."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from payersim.testing import Payer, running
from rowmill.claims.call_loop import close_calls


@pytest.fixture(scope="session")
def shared_payer() -> Iterator[Payer]:
    with running("calm") as payer:
        yield payer


@pytest.fixture
def payer(shared_payer: Payer) -> Payer:
    shared_payer.reset()
    return shared_payer


@pytest.fixture(autouse=True)
def _calls_are_closed() -> Iterator[None]:
    yield
    close_calls()
