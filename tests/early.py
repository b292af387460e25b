"""Loaded before Django's settings (`-p tests.early`): gives the run a data directory of its own and a clean environment."""

from __future__ import annotations

import os
import tempfile

DATA = tempfile.TemporaryDirectory(prefix="rowmill-tests-")
for _name in [name for name in os.environ if name.startswith("ROWMILL_")] + ["DATABASE_URL", "SECRET_KEY"]:
    os.environ.pop(_name, None)
os.environ["ROWMILL_DATA_DIR"] = DATA.name
# A temporary folder of the run's own, so that a test that looks for leavings sees nobody else's.
_TEMP = os.path.join(DATA.name, "tmp")
os.makedirs(_TEMP)
os.environ["TMPDIR"] = _TEMP
tempfile.tempdir = None
