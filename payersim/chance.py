"""Chance that does not depend on the order of calls: every draw comes from (seed, claim number, attempt)."""

from __future__ import annotations

from hashlib import blake2b
from math import sqrt
from struct import unpack

_SCALE = float(2**64)


class Draws:
    """Five draws in 0..1 for one attempt at one claim, each with one use."""

    __slots__ = ("claim_number", "detail", "fault", "latency", "look", "tail")

    latency: float
    tail: float
    fault: float
    detail: float
    look: float

    def __init__(self, seed: int, claim_number: str, attempt: int) -> None:
        self.claim_number = claim_number
        digest = blake2b(f"{seed}|{claim_number}|{attempt}".encode(), digest_size=40).digest()
        self.latency, self.tail, self.fault, self.detail, self.look = (n / _SCALE for n in unpack("<5Q", digest))


def triangular(draw: float, low: float, mode: float, high: float) -> float:
    """Turn a draw in 0..1 into a triangular distribution."""
    if high <= low:
        return low
    turn = (mode - low) / (high - low)
    if draw < turn:
        return low + sqrt(draw * (high - low) * (mode - low))
    return high - sqrt((1 - draw) * (high - low) * (high - mode))
