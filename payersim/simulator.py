"""The payer: takes a call, says what a payer would say. No web server in here; app.py and wire.py bring the calls."""

from __future__ import annotations

import asyncio
from collections import Counter

from payersim import inquiry
from payersim.behaviours import BEHAVIOURS, DELIVERIES, GARBAGE, too_many, unauthorized
from payersim.book import Book, Entry, entry_by_mix, entry_by_prefix, same_number
from payersim.chance import Draws, triangular
from payersim.messages import Call, Reply, error_reply
from payersim.settings import Settings
from payersim.stats import Stats
from payersim.tokens import Tokens

TOKEN_PATH = "/apip/auth/sntl/v1/token"  # noqa: S105  a path
INQUIRY_PATH = "/oihub/claim/inquiry/v1"

# Without any latency nothing would ever be in flight, and a client that breaks its cap would not be seen.
FLOOR_SECONDS = (0.003, 0.007)


class Simulator:
    """One payer with its settings, its book and its memory of what was asked."""

    def __init__(self, settings: Settings | None = None, book: Book | None = None) -> None:
        self.settings = settings or Settings()
        self.book = book or Book()
        self.maintenance = False
        self.healed = False
        self.reset()

    def reset(self) -> None:
        """Forget everything that happened; settings and book stay."""
        self.stats = Stats()
        self.tokens = Tokens(self.settings, self.stats)
        self.started_at = self.settings.clock()
        self._attempts: Counter[str] = Counter()
        self._faults: Counter[str] = Counter()
        self._had_garbage: set[str] = set()
        self._refreshing: set[str] = set()
        self._authorised = 0
        self._bucket = float(self.settings.burst)
        self._bucket_at = self.settings.clock()

    # -------------------------------------------------------------------------------------------- doors

    async def __call__(self, call: Call) -> Reply:
        """Answer any call."""
        self.stats.requests += 1
        if self._in_maintenance():
            reply, kind = error_reply(503, "MAINTENANCE", "Scheduled maintenance"), "maintenance"
        elif call.path not in (TOKEN_PATH, INQUIRY_PATH):
            reply, kind = error_reply(404, "NOT_FOUND", "No such resource"), "no_such_path"
        elif call.method != "POST":
            reply, kind = error_reply(405, "METHOD_NOT_ALLOWED", "Use POST"), "wrong_method"
        elif call.path == TOKEN_PATH:
            await asyncio.sleep(self.settings.token_latency * self.settings.latency_scale)
            reply, kind = self.tokens.issue(call), "token"
        else:
            reply, kind = await self._hold_place(call)
        self.stats.answers[kind] += 1
        self.stats.statuses[reply.status] += 1
        self.stats.sent_429 += reply.status == 429
        return reply

    def _in_maintenance(self) -> bool:
        after, s = self.settings.maintenance_after, self.settings
        if self.maintenance or after is None:
            return self.maintenance
        return after <= self.tokens.now() - self.started_at < after + s.maintenance_length

    # -------------------------------------------------------------------------------------------- limits

    async def _hold_place(self, call: Call) -> tuple[Reply, str]:
        """Count the call as in flight while it is worked on."""
        self.stats.inquiries += 1
        if not await self._place_free():
            self.stats.cap_exceeded += 1
            return too_many(self.settings, self.stats.cap_exceeded * 0.37 % 1), "over_cap"
        self.stats.in_flight += 1
        self.stats.max_in_flight = max(self.stats.max_in_flight, self.stats.in_flight)
        try:
            if not self._take_from_bucket():
                return too_many(self.settings, self.stats.sent_429 * 0.37 % 1), "over_rate"
            return await self._authorise(call)
        except asyncio.CancelledError:
            self.stats.abandoned += 1
            raise
        finally:
            self.stats.in_flight -= 1

    async def _place_free(self) -> bool:
        """Tell whether one more call may be in flight.

        A client that gave up on a call may send the next one before its hang-up is noticed here, so a full house is
        looked at again for a moment before anybody is refused.
        """
        cap = self.settings.in_flight_cap
        for _ in range(20):
            if cap is None or self.stats.in_flight < cap:
                return True
            await asyncio.sleep(0.001)
        return False

    def _take_from_bucket(self) -> bool:
        rate = self.settings.rate_per_minute
        if not rate:
            return True
        now = self.settings.clock()
        self._bucket = min(float(self.settings.burst), self._bucket + (now - self._bucket_at) * rate / 60)
        self._bucket_at = now
        if self._bucket < 1:
            return False
        self._bucket -= 1
        return True

    # -------------------------------------------------------------------------------------------- inquiry

    async def _authorise(self, call: Call) -> tuple[Reply, str]:
        question = inquiry.read(call)
        number = question.claim_number if isinstance(question, inquiry.Question) else ""
        self.stats.calls_by_claim[number] += bool(number)
        verdict = self.tokens.judge(call)
        if verdict == "stale" and number and number in self._refreshing:
            verdict = "good"
        if verdict in ("expired", "stale"):
            self._refreshing.add(number)
            return unauthorized(), "unauthorized"
        if verdict == "not_entitled":
            return await BEHAVIOURS["forbidden"](self.settings, Draws(0, "", 0)), "forbidden"
        self._refreshing.discard(number)
        self._authorised += 1
        if self._authorised in self.settings.profile.revoke_at:
            self.tokens.make_stale()
        if isinstance(question, Reply):
            return question, "invalid_request"
        return await self._answer(question)

    async def _answer(self, question: inquiry.Question) -> tuple[Reply, str]:
        number, first_page = question.claim_number, not question.page_token
        self._attempts[number] += first_page
        attempt = self._attempts[number]
        draws = Draws(self.settings.seed, number, attempt)
        entry = self._entry(number, draws) if number else inquiry.entry_of_member(self.book, question)
        behaviour = self._behaviour(entry, attempt, draws) if first_page else ""
        await asyncio.sleep(self._latency(draws))
        if behaviour in BEHAVIOURS:
            return await BEHAVIOURS[behaviour](self.settings, draws), behaviour
        reply, found = inquiry.answer(question, entry, self.settings, draws, self.tokens.now())
        if behaviour in DELIVERIES:
            reply.manner = "drip" if behaviour == "drip" else "cut"
            reply.over_seconds = max(min(20.0 * self.settings.latency_scale, self.settings.hang()), 0.05)
        if first_page and behaviour != "cut" and number:
            self.stats.finals[number] += 1
        return reply, behaviour or ("found" if found else "not_found")

    def _entry(self, number: str, draws: Draws) -> Entry:
        entry = self.book.get(number) or entry_by_prefix(same_number(number))
        if entry is None and self.settings.unknown == "mix":
            return entry_by_mix(number, Draws(self.settings.seed, number, 0).detail)
        return entry or Entry()

    def _latency(self, draws: Draws) -> float:
        profile, scale = self.settings.profile, self.settings.latency_scale
        if draws.tail < profile.tail_share:
            low, high = profile.tail
            seconds = low + (high - low) * draws.latency
        else:
            seconds = triangular(draws.latency, *profile.latency)
        low, high = FLOOR_SECONDS
        return max(seconds * scale, low + (high - low) * draws.latency)

    # -------------------------------------------------------------------------------------------- trouble

    def _behaviour(self, entry: Entry, attempt: int, draws: Draws) -> str:
        """Say how this attempt misbehaves: as its entry says, else as the profile deals it, "" for not at all."""
        if entry.behaviour and not (self.healed and entry.times is None):
            return entry.behaviour if entry.times is None or attempt <= entry.times else ""
        return self._dealt(attempt, draws)

    def _dealt(self, attempt: int, draws: Draws) -> str:
        profile, number = self.settings.profile, draws.claim_number
        if self._faults[number] >= profile.faults_per_claim:
            return ""
        name = self._drawn(draws.fault)
        if name in GARBAGE and number in self._had_garbage:
            name = "server_error"
        if not name and self._in_burst() and draws.detail < profile.burst_share:
            name = "html_error" if draws.look < 0.3 else "server_error"
        if name:
            self._faults[number] += 1
        if name in GARBAGE:
            self._had_garbage.add(number)
        return name

    def _drawn(self, draw: float) -> str:
        for name, share in self.settings.profile.faults.items():
            if draw < share:
                return name
            draw -= share
        return ""

    def _in_burst(self) -> bool:
        profile, scale = self.settings.profile, self.settings.latency_scale
        if not profile.burst_every:
            return False
        every, length = max(profile.burst_every * scale, 3.0), max(profile.burst_length * scale, 0.3)
        return (self.settings.clock() - self.started_at) % every > every - length
