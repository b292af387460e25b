"""`rowmill up` on data that another key sealed: one sentence, and an end."""

from __future__ import annotations

import base64
import os
import subprocess
import sys
from pathlib import Path

import pytest

MAKE_ORG = """
from rowmill.cli.serving import prepare_database, set_up_django
set_up_django()
prepare_database()
from rowmill.orgs import create_org
create_org("acme")
"""


@pytest.mark.slow
def test_up_with_another_key_ends_with_a_sentence(tmp_path: Path) -> None:
    env = {**os.environ, "ROWMILL_DATA_DIR": str(tmp_path), "ROWMILL_LOG_LEVEL": "ERROR"}
    subprocess.run([sys.executable, "-c", MAKE_ORG], env=env, check=True, timeout=120)
    env["ROWMILL_ENCRYPTION_KEY"] = base64.b64encode(bytes(32)).decode()
    up = subprocess.run(
        [sys.executable, "-m", "rowmill", "up", "--port", "0"], env=env, capture_output=True, text=True, timeout=120
    )
    assert up.returncode == 2
    assert "key" in up.stderr
    assert "Traceback" not in up.stderr
