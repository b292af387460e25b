"""The long upload under fire, small: five kills of the server, ten cuts of the client's connections."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.flows.long_upload import carry_out

pytestmark = [pytest.mark.crash, pytest.mark.timeout(900)]


def test_thirty_megabytes_through_five_kills_and_ten_cuts(tmp_path: Path) -> None:
    report = carry_out(tmp_path, 30_000_000, 256 * 1024)
    assert report["starts"] == 6
    assert report["sent_bytes"] >= report["bytes"]
