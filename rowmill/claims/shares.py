"""How processes share one payer account: who gets how many calls in flight, and when which call may begin. Pure rules.

Each process asks every half second while it has something to do, and is given a part of the calls in flight under a
lease, and the begin times of its next calls. No round trip per call, nothing lost when a process dies: its part comes
back when its lease runs out. All times are seconds of one clock, the database's; what is asked and granted is relative,
so that no other clock matters.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import floor
from typing import Any

ASK_SECONDS = 0.5
AHEAD_SECONDS = 0.75  # begin times are given so far ahead: half an interval more than until the next ask
BURST_SECONDS = 0.6  # one hundredth of a minute: what may be caught up after a quiet time
BEGIN_SECONDS = 5.0  # how long calls may begin without a new grant
TURN_SECONDS = 5.0
MARGIN_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class News:
    """What a process has to tell the others. Units: seconds from now; 0 for none. `answered`: an open breaker may close."""

    answered: bool = False
    pause_seconds: float = 0.0
    open_left: float = 0.0
    open_seconds: float = 0.0
    refused_left: float = 0.0
    refused_code: str = ""
    refused_reason: str = ""


@dataclass(frozen=True, slots=True)
class Ask:
    """What a process asks for.

    `held`: calls in flight that it does not exceed until it is answered; `wanted`: how many it could use, `urgent` of
    them for calls that go first. `calls`: how many begin times it needs; `unused`: how many of earlier ones it did not
    use. `hungry`: it has calls that go first, or came away with nothing the last time.
    """

    owner: str
    held: int = 0
    wanted: int = 0
    urgent: int = 0
    calls: int = 0
    unused: int = 0
    hungry: bool = False
    call_seconds: float = 65.0
    news: News = News()


@dataclass(frozen=True, slots=True)
class Grant:
    """What it is given.

    `places`: calls in flight that are its own, never less than it held under its lease; `target`: how many it should come down to.
    `calls` begin times, the first in `first_call_in` seconds, then one every `call_gap`.
    """

    in_flight: int
    calls_per_minute: int
    places: int = 0
    target: int = 0
    calls: int = 0
    first_call_in: float = 0.0
    call_gap: float = 0.0
    quiet: News = News()


@dataclass(slots=True)
class Share:
    """One process's part. `until`: its places are somebody else's from then on."""

    places: int
    wanted: int
    urgent: int
    until: float


@dataclass(slots=True)
class Quiet:
    """What holds calls back, as times; 0 for nothing."""

    pause_until: float = 0.0
    open_until: float = 0.0
    open_seconds: float = 0.0
    refused_until: float = 0.0
    refused_code: str = ""
    refused_reason: str = ""


@dataclass(slots=True)
class Shared:
    """All that is known of an account between asks."""

    next_call_at: float = 0.0
    shares: dict[str, Share] = field(default_factory=dict)
    quiet: Quiet = field(default_factory=Quiet)

    def shares_json(self) -> dict[str, Any]:
        """Give the shares as JSON types."""
        return {owner: [one.places, one.wanted, one.urgent, one.until] for owner, one in self.shares.items()}


def answer_ask(shared: Shared, ask: Ask, now: float, in_flight: int, calls_per_minute: int) -> Grant:
    """Settle one ask: change what is shared, and say what the process is given."""
    _hear(shared.quiet, ask.news, now)
    places, target = _give_places(shared, ask, now, max(in_flight, 1))
    calls, first_at, gap = _give_calls(shared, ask, now, calls_per_minute)
    return Grant(in_flight, calls_per_minute, places, target, calls, first_at - now, gap, _tell(shared.quiet, now))


# ------------------------------------------------------------------------------------------------ calls in flight


def _give_places(shared: Shared, ask: Ask, now: float, cap: int) -> tuple[int, int]:
    """Divide the calls in flight. Shape: (what is its own from now on, what it should come down to).

    What a process gets comes out of what no other holds, so the sum of all never exceeds the cap, whoever dies. Who
    comes back after its lease insists on nothing: its places are others' by now, and its calls of then are over.
    """
    mine = shared.shares.get(ask.owner)
    kept = min(ask.held, mine.places) if mine is not None and mine.until > now else 0
    shares = {owner: one for owner, one in shared.shares.items() if one.until > now and owner != ask.owner}
    shared.shares = shares
    if not ask.wanted and not ask.held:
        return 0, 0
    if shared.quiet.open_seconds > 0:
        cap = 1  # the one probe of a breaker that is half open
    demands = {owner: (one.wanted, one.urgent) for owner, one in shares.items()} | {ask.owner: (ask.wanted, ask.urgent)}
    target = divide(cap, demands, int(now // TURN_SECONDS))[ask.owner]
    free = cap - sum(one.places for one in shares.values())
    places = max(kept, min(target, free))
    until = now + BEGIN_SECONDS + ask.call_seconds + MARGIN_SECONDS
    shares[ask.owner] = Share(places, ask.wanted, ask.urgent, until)
    return places, target


def divide(cap: int, demands: Mapping[str, tuple[int, int]], turn: int = 0) -> dict[str, int]:
    """Divide `cap` places among demands (wanted, urgent of these): first what is urgent, then the rest, each evenly.

    Where there are fewer places than processes, `turn` says who is the next to have one.
    """
    first = _pour(cap, {owner: min(urgent, wanted) for owner, (wanted, urgent) in demands.items()}, turn)
    rest = {owner: wanted - first[owner] for owner, (wanted, _) in demands.items()}
    then = _pour(cap - sum(first.values()), rest, turn)
    return {owner: first[owner] + then[owner] for owner in demands}


def _pour(cap: int, wants: Mapping[str, int], turn: int) -> dict[str, int]:
    """Fill all evenly until each has what it wants or nothing is left."""
    got = dict.fromkeys(wants, 0)
    thirsty = sorted(owner for owner, want in wants.items() if want > 0)
    if thirsty:
        at = turn * max(cap, 1) % len(thirsty)
        thirsty = thirsty[at:] + thirsty[:at]
    while cap > 0 and thirsty:
        part = max(1, cap // len(thirsty))
        for owner in thirsty:
            given = min(part, wants[owner] - got[owner], cap)
            got[owner] += given
            cap -= given
        thirsty = [owner for owner in thirsty if got[owner] < wants[owner]]
    return got


# ------------------------------------------------------------------------------------------------ calls per minute


def _give_calls(shared: Shared, ask: Ask, now: float, calls_per_minute: int) -> tuple[int, float, float]:
    """Give away the next begin times. Shape: (how many, when the first is, seconds between two).

    Who is hungry may reach further ahead than others do, so nobody can take all there is from under it.
    """
    if not calls_per_minute:
        return 0, now, 0.0
    gap = 60.0 / calls_per_minute
    start = max(shared.next_call_at - ask.unused * gap, now - BURST_SECONDS)
    reach = now + AHEAD_SECONDS * (2 if ask.hungry else 1)
    calls = min(ask.calls, floor((reach - start) / gap) + 1) if start <= reach else 0
    shared.next_call_at = start + calls * gap
    return calls, start, gap


# ------------------------------------------------------------------------------------------------ what holds calls back


def _hear(quiet: Quiet, news: News, now: float) -> None:
    """Take in what a process tells."""
    if news.answered:
        quiet.open_until = quiet.open_seconds = 0.0
    if news.pause_seconds > 0:
        quiet.pause_until = max(quiet.pause_until, now + news.pause_seconds)
    if news.open_seconds > 0:
        quiet.open_until = max(quiet.open_until, now + news.open_left)
        quiet.open_seconds = max(quiet.open_seconds, news.open_seconds)
    if news.refused_left > 0:
        quiet.refused_until = now + news.refused_left
        quiet.refused_code, quiet.refused_reason = news.refused_code, news.refused_reason


def _tell(quiet: Quiet, now: float) -> News:
    """Say what holds calls back, as seconds from now."""
    return News(
        pause_seconds=max(0.0, quiet.pause_until - now),
        open_left=max(0.0, quiet.open_until - now),
        open_seconds=quiet.open_seconds,
        refused_left=max(0.0, quiet.refused_until - now),
        refused_code=quiet.refused_code,
        refused_reason=quiet.refused_reason,
    )
