"""Every storage there is, each in a place of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from types import SimpleNamespace

import pytest

from rowmill.contracts import Storage
from rowmill.storage import open_storage
from tests.servers.s3 import S3

_NUMBERS = count(1)


@pytest.fixture(scope="session")
def s3_servers() -> Iterator[Callable[[str], S3]]:
    """Start a server when it is first asked for."""
    running: dict[str, S3] = {}

    def get(program: str) -> S3:
        if program not in running:
            running[program] = S3(program).__enter__()  # type: ignore[arg-type]
        return running[program]

    yield get
    for server in running.values():
        server.__exit__(None, None, None)


@pytest.fixture
def configured(tmp_path: Path) -> Callable[..., SimpleNamespace]:
    """Make the settings of a machine."""

    def make(url: str = "", machine: str = "one", scratch_bytes: int = 1 << 30) -> SimpleNamespace:
        return SimpleNamespace(
            ROWMILL_STORAGE_URL=url,
            ROWMILL_SCRATCH_BYTES=scratch_bytes,
            ROWMILL_MIN_FREE_BYTES=0,
            STORAGE_DIR=tmp_path / "storage",
            SCRATCH_DIR=tmp_path / f"scratch-{machine}",
        )

    return make


SERVERS = ["moto", "rclone"]


@pytest.fixture(
    params=[
        "local",
        pytest.param("moto", marks=pytest.mark.slow),
        pytest.param("rclone", marks=pytest.mark.slow),
    ]
)
def storage(request: pytest.FixtureRequest, configured: Callable[..., SimpleNamespace]) -> Iterator[Storage]:
    """One storage after the other."""
    if request.param == "local":
        yield open_storage(configured())
        return
    server = request.getfixturevalue("s3_servers")(request.param)
    with server.credentials():
        yield open_storage(configured(server.url(f"bucket-{next(_NUMBERS)}", "some/prefix")))
