"""One upload through the door "bucket" whose server is killed at every step of its completing, in recovery too."""

from __future__ import annotations

import hashlib
import urllib.request
from contextlib import closing
from pathlib import Path

import pytest

from tests.crash.checker import open_read_only
from tests.crash.server import Lost, Server, provided, wait_for
from tests.servers.s3 import S3

pytestmark = pytest.mark.crash
NOBODY = "http://127.0.0.1:9"
DATA = b"no,such,columns\n" + b"1,2,3\n" * 1_000


def die(server: Server, point: str) -> None:
    """Start it, and see it die where the one before it was killed and a step further."""
    server.environment |= {"ROWMILL_FAULT_AT": "1", "ROWMILL_FAULT_NAME": point}
    server.process = server.spawn()
    assert server.process.wait(120) == -9, f"it did not come to {point}"


def test_killed_at_every_step_of_completing_it_ends_once(tmp_path: Path) -> None:
    with S3("moto") as bucket:
        place = bucket.url("killed", "p")
        environment = {**bucket.environment, "ROWMILL_STORAGE_URL": place, "ROWMILL_DIRECT_UPLOADS": "yes"}
        with provided(tmp_path, NOBODY, NOBODY, **environment) as server:
            server.start(ROWMILL_FAULT_AT="1", ROWMILL_FAULT_NAME="session_completing")
            words = {"fileName": "t.csv", "fileSize": len(DATA), "sha256": hashlib.sha256(DATA).hexdigest()}
            begun = server.call("POST", "/api/upload/init/", {**words, "kind": "claim_status", "door": "bucket"})
            told = {"uploadId": begun["uploadId"]}
            signed = server.call("POST", "/api/upload/sign/", {**told, "parts": [1]})["parts"][0]
            kind = {"Content-Type": "application/octet-stream"}
            with urllib.request.urlopen(urllib.request.Request(signed["url"], DATA, kind, method="PUT"), timeout=60):
                pass
            with pytest.raises(Lost):
                server.call("POST", "/api/upload/complete/", told)
            assert server.process is not None
            assert server.process.wait(60) == -9
            for point in ("bucket_completed", "finished"):
                die(server, point)
            server.start(ROWMILL_FAULT_AT="0")

            def judged() -> bool:
                progress = server.call("GET", f"/api/upload/progress/?uploadId={begun['uploadId']}")
                return bool(progress["importStatus"] == "REJECTED")

            wait_for(judged, 60, "the file was never judged")
            done = server.call("POST", "/api/upload/complete/", told)
            assert (done["sha256"], done["status"]) == (words["sha256"], "completed")
            with closing(open_read_only(tmp_path / "data")) as database:
                assert [tuple(row) for row in database.execute("SELECT COUNT(*) FROM rowmill_upload")] == [(1,)]
        raw = bucket.client()
        assert [found["Key"] for found in raw.list_objects_v2(Bucket="killed")["Contents"]] == [f"p/{begun['s3Key']}"]
        assert "Uploads" not in raw.list_multipart_uploads(Bucket="killed")
        raw.close()
