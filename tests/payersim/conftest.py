"""One calm payer for all the tests of a module; whoever changes its settings makes one of his own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from payersim.testing import Payer, running


@pytest.fixture(scope="module")
def calm() -> Iterator[Payer]:
    with running("calm") as payer:
        yield payer
