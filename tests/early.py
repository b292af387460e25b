"""Loaded before Django's settings (`-p tests.early`): gives the run a data directory of its own and a clean environment.

With ROWMILL_TEST_DATABASE=postgres the run has a private Postgres as well, one for all its processes.
"""

from __future__ import annotations

import atexit
import os
import tempfile

DATA = tempfile.TemporaryDirectory(prefix="rowmill-tests-")
ON_POSTGRES = os.environ.get("ROWMILL_TEST_DATABASE", "sqlite") == "postgres"
_KEPT = {"ROWMILL_TEST_DATABASE", "ROWMILL_TEST_SERVER"}
for _name in [name for name in os.environ if name.startswith("ROWMILL_")] + ["DATABASE_URL", "SECRET_KEY"]:
    if _name not in _KEPT:
        os.environ.pop(_name, None)
os.environ["ROWMILL_DATA_DIR"] = DATA.name
if ON_POSTGRES:
    if "ROWMILL_TEST_SERVER" not in os.environ:  # else this is a process of a run that has its server
        from tests.servers.postgres import Postgres

        _server = Postgres()
        _server.__enter__()
        atexit.register(_server.__exit__, None, None, None)
        os.environ["ROWMILL_TEST_SERVER"] = _server.url("rowmill")
    os.environ["DATABASE_URL"] = os.environ["ROWMILL_TEST_SERVER"]
# A temporary folder of the run's own, so that a test that looks for leavings sees nobody else's.
_TEMP = os.path.join(DATA.name, "tmp")
os.makedirs(_TEMP)
os.environ["TMPDIR"] = _TEMP
tempfile.tempdir = None
