"""The real servers of the cluster's tests, one of each for a file."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.servers.postgres import Postgres, find_programs
from tests.servers.redis import RedisServer, redis_server


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    if find_programs() is None:
        pytest.skip("Postgres is not installed (make system)")
    with Postgres() as server:
        yield server


@pytest.fixture
def redis() -> Iterator[RedisServer]:
    with redis_server() as server:
        yield server
