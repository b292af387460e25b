"""A precheck outlives the process that runs it: killed in each of its stages, the next process brings it to its end."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.crash.server import Server, multipart, provided, wait_for

pytestmark = [pytest.mark.crash, pytest.mark.timeout(600)]
BROKEN = b'id,note\n0001,"a\n0002,b\n0003,c\n'
STAGES = ("precheck_metadata", "precheck_integrity", "prechecked")


def status(server: Server, address: str) -> dict:
    told: dict = server.call("GET", address)
    return told


@pytest.mark.parametrize("stage", STAGES)
def test_a_killed_process_costs_a_precheck_nothing_but_time(tmp_path: Path, stage: str) -> None:
    nowhere = "http://127.0.0.1:9"
    with provided(tmp_path, nowhere, nowhere) as server:
        server.start(ROWMILL_FAULT_AT="1", ROWMILL_FAULT_NAME=stage)
        headers, body = multipart(BROKEN, {})
        begun = server.call("POST", "/precheck-validation/upload", body, headers)
        process = server.process
        assert process is not None
        wait_for(lambda: process.poll() is not None, 120, "nothing killed it")
        server.start(ROWMILL_FAULT_AT="0", ROWMILL_FAULT_NAME="")
        address = begun["links"]["status"]
        wait_for(lambda: status(server, address)["status"] in ("COMPLETED", "FAILED"), 120, "it does not end")
        told = status(server, address)
        assert (told["status"], told["progress"], told["error"]) == ("COMPLETED", 100, "")
        assert told["findings"][0]["line"] == 2
        upload = server.call("GET", begun["links"]["upload"])
        assert upload["status"] == "REJECTED"
