"""The tus door of a real `rowmill up` that is killed at each of its steps: what was acknowledged is there, and it goes on."""

from __future__ import annotations

import hashlib
import http.client
from pathlib import Path

import pytest

from tests.api.test_tus import BYTES, DOOR, metadata
from tests.crash.server import Lost, Server, provided, wait_for

pytestmark = pytest.mark.crash
NOBODY = "http://127.0.0.1:9"
POINTS = ("appended", "append_committed", "session_assembled")
HEADER = b"claim_number,first_name,last_name,date_of_birth,subscriber_id\n"
FILE = HEADER + b"".join(b"C%06d,Ann,Oak,1980-01-15,S%06d\n" % (n, n) for n in range(5_000))


class Sender:
    """A sender that begins again where the server says, however often the line dies."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.address = ""
        self.acknowledged = 0

    def ask(self, method: str, path: str, body: bytes | None = None, **headers: str) -> http.client.HTTPMessage:
        """Make a call. Raises: one of Lost where no answer came."""
        line = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=60)
        sent = {"Authorization": f"Bearer {self.server.token}", "Tus-Resumable": "1.0.0"}
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        try:
            line.request(method, path, body, {**sent, **({"Content-Type": BYTES} if body is not None else {})})
            answer = line.getresponse()
            told = answer.read()
            assert answer.status < 300, (method, answer.status, told)
            return answer.headers
        finally:
            line.close()

    def create(self) -> None:
        told = metadata(filename="claims.csv", sha256=hashlib.sha256(FILE).hexdigest())
        self.address = self.ask("POST", DOOR, Upload_Length=str(len(FILE)), Upload_Metadata=told)["Location"]

    def begin_again(self) -> None:
        """Hear where to go on: never before what was acknowledged."""
        at = int(self.ask("HEAD", self.address)["Upload-Offset"])
        assert self.acknowledged <= at <= len(FILE)
        self.acknowledged = at

    def send(self, count: int) -> None:
        end = min(self.acknowledged + count, len(FILE))
        body = FILE[self.acknowledged : end]
        told = self.ask("PATCH", self.address, body, Upload_Offset=str(self.acknowledged))
        self.acknowledged = int(told["Upload-Offset"])
        assert self.acknowledged == end

    def go_on(self, point: str) -> None:
        """Do what leads past a point. Raises: one of Lost."""
        self.begin_again()
        self.send(len(FILE) if point == "session_assembled" else 20_000)

    def die_in_the_middle(self, count: int) -> None:
        """Announce so many bytes, send half of them, and let the server die in the middle."""
        line = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=60)
        line.putrequest("PATCH", self.address)
        fields = {"Authorization": f"Bearer {self.server.token}", "Tus-Resumable": "1.0.0", "Content-Type": BYTES}
        for name, value in {**fields, "Upload-Offset": self.acknowledged, "Content-Length": count}.items():
            line.putheader(name, str(value))
        line.endheaders()
        line.send(FILE[self.acknowledged : self.acknowledged + count // 2])
        self.server.kill()
        line.close()


def test_killed_at_each_step(tmp_path: Path) -> None:
    with provided(tmp_path, NOBODY, NOBODY) as server:
        sender = Sender(server)
        server.start()
        sender.create()
        sender.send(10_000)
        sender.die_in_the_middle(50_000)
        for point in POINTS:
            server.start(ROWMILL_FAULT_NAME=point, ROWMILL_FAULT_AT="1")
            with pytest.raises(Lost):
                sender.go_on(point)
            assert server.process is not None
            server.process.wait(60)
        server.start(ROWMILL_FAULT_NAME="", ROWMILL_FAULT_AT="0")
        sender.begin_again()
        assert sender.acknowledged == len(FILE)
        verdict = f"/api/v1/uploads/{sender.address.rstrip('/').rsplit('/', 1)[1]}/"
        wait_for(lambda: server.call("GET", verdict)["status"] == "READY", 60, "no verdict")
        told = server.call("GET", verdict)
        assert (told["sha256"], told["rows"]) == (hashlib.sha256(FILE).hexdigest(), 5_000)
        originals = list((server.data_dir / "storage").rglob("original"))
        assert [path.read_bytes() == FILE for path in originals] == [True]
        assert not list((server.data_dir / "storage").rglob("incoming.fence"))
