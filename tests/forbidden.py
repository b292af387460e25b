"""Fails where a tracked file names a package registry's host, a machine's path, an address in a lock file, or is half merged."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

# Written in pieces, so that this file does not find itself.
HOSTS = [".".join(parts) for parts in (("pypi", "org"), ("files", "pythonhosted", "org"), ("registry", "npmjs", "org"))]
PATHS = re.compile(r"(^|[^A-Za-z0-9_.])/(?:wo" + r"rk|fa" + r"rm)/")
HALF_MERGED = re.compile(r"^(?:<{7}|>{7}) ", re.M)


def main() -> int:
    """Print every forbidden place; give the exit code."""
    tracked = subprocess.run(["git", "ls-files", "-z"], capture_output=True, check=True).stdout.decode().split("\0")
    found = []
    for name in filter(None, tracked):
        path = Path(name)
        if not path.is_file():
            continue
        text = path.read_text(encoding="utf-8", errors="ignore")
        found += [f"{name}: names {host}" for host in HOSTS if host in text]
        if PATHS.search(text):
            found.append(f"{name}: names a path of a machine")
        if HALF_MERGED.search(text):
            found.append(f"{name}: is half merged")
        if name.endswith(".lock") and "://" in text:
            found.append(f"{name}: has an address in it")
    print("\n".join(found), end="\n" if found else "")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
