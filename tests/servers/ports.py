"""Ports for servers that take a number: none is given twice, by whichever of the processes that run tests.

They lie below those that the kernel gives to clients and to whoever binds port 0, so that one that is free between its
choice and its use, or between a kill and the next start, is not taken by a stranger meanwhile.
"""

from __future__ import annotations

import os
import random
import socket

_FIRST, _END = 15_000, 32_000
_CLAIMS: list[socket.socket] = []  # held until this process ends, however it ends


def free_port() -> int:
    """Give a port that nobody listens on and that nobody else is given while this process lives."""
    dice = random.SystemRandom()
    for _ in range(2_000):
        port = dice.randrange(_FIRST, _END)
        claim = _claim(port)
        if claim is None:
            continue
        if _is_free(port):
            _CLAIMS.append(claim)
            return port
        claim.close()
    raise RuntimeError(f"process {os.getpid()} finds no free port")


def _claim(port: int) -> socket.socket | None:
    """Claim a number among the processes of this machine by a name that goes with its process. Gives None where it is taken."""
    claim = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    try:
        claim.bind(f"\0rowmill-tests-port-{port}")
    except OSError:
        claim.close()
        return None
    return claim


def _is_free(port: int) -> bool:
    """Tell whether a server could listen there."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("", port))
        except OSError:
            return False
    return True
