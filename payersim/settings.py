"""The knobs: what one simulator is set to, and the four profiles of how badly it behaves."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

# Clients that get a token. The second has credentials of another environment, the third is not subscribed.
CLIENT_ID = "sim-client"
CLIENT_SECRET = "sim-secret"  # noqa: S105  a made-up secret of a made-up payer
WRONG_ENVIRONMENT_CLIENT = "sim-wrong-environment"
NOT_ENTITLED_CLIENT = "sim-not-entitled"


@dataclass(frozen=True)
class Profile:
    """How a payer behaves.

    Shape: `faults` maps a behaviour's name (behaviours.py) to the share of calls that meet it; a claim meets at most
    `faults_per_claim` of them, so a client that tries five times always gets to the book's answer.
    Units: seconds before the latency scale; shares 0..1; `revoke_at` counts authorised calls.
    """

    name: str = "calm"
    latency: tuple[float, float, float] = (8.0, 8.8, 10.0)
    tail_share: float = 0.0
    tail: tuple[float, float] = (15.0, 25.0)
    faults: Mapping[str, float] = field(default_factory=dict)
    faults_per_claim: int = 2
    burst_every: float = 0.0
    burst_length: float = 20.0
    burst_share: float = 0.6
    revoke_at: tuple[int, ...] = ()
    cosmetics: float = 0.0


PROFILES: dict[str, Profile] = {
    "calm": Profile(),
    "realistic": Profile(
        name="realistic",
        tail_share=0.01,
        faults={"server_error": 0.004, "html_error": 0.002, "gateway_timeout": 0.002, "hang": 0.002, "reset": 0.002},
        cosmetics=0.2,
    ),
    "bursty": Profile(name="bursty", burst_every=300.0, faults={"server_error": 0.002}, cosmetics=0.1),
    "hostile": Profile(
        name="hostile",
        tail_share=0.02,
        faults={
            "server_error": 0.07,
            "html_error": 0.04,
            "rate_limited": 0.06,
            "graphql_errors": 0.03,
            "bad_json": 0.03,
            "empty_body": 0.02,
            "missing_data": 0.02,
            "gateway_timeout": 0.02,
            "hang": 0.02,
            "cut": 0.03,
            "reset": 0.03,
            "drip": 0.03,
        },
        burst_every=120.0,
        burst_length=10.0,
        revoke_at=(150, 700, 2000),
        cosmetics=0.5,
    ),
}


@dataclass
class Settings:
    """What one simulator is set to. Every field may be changed while it runs, through the control plane.

    Units: seconds; `in_flight_cap` and `rate_per_minute` None for no limit.
    `hang_seconds` None: 90 s x scale, at least 0.2 s. `page_size` is how many claims a page holds,
    `max_results` how many one search may find.
    `unknown`: what a claim number gets that nobody told us of: "not_found", or "mix": a status drawn from the usual
    mix, for the standard member.
    `retry_after`: how a 429 tells when to come back; "mixed" draws one of the three.
    """

    profile: Profile = field(default_factory=Profile)
    seed: int = 1
    latency_scale: float = 1.0
    in_flight_cap: int | None = None
    rate_per_minute: float | None = None
    burst: int = 20
    retry_after: Literal["seconds", "date", "absent", "mixed"] = "mixed"
    token_ttl: float = 3600.0
    token_latency: float = 0.5
    hang_seconds: float | None = None
    page_size: int = 50
    empty_last_page: bool = False
    page_token_ttl: float = 86_400.0
    max_results: int = 500
    unknown: Literal["not_found", "mix"] = "not_found"
    root: Literal["searchClaim", "searchClaimResponse"] = "searchClaim"
    maintenance_after: float | None = None
    maintenance_length: float = 0.0
    clients: dict[str, str] = field(
        default_factory=lambda: {
            CLIENT_ID: CLIENT_SECRET,
            WRONG_ENVIRONMENT_CLIENT: CLIENT_SECRET,
            NOT_ENTITLED_CLIENT: CLIENT_SECRET,
        }
    )
    clock: Callable[[], float] = time.monotonic

    def hang(self) -> float:
        """Give how long a call hangs before its connection is dropped."""
        return max(90.0 * self.latency_scale, 0.2) if self.hang_seconds is None else self.hang_seconds


def settings_from(profile: str | Profile = "calm", **values: Any) -> Settings:
    """Make settings from a profile's name. Raises: KeyError for a name that is not in PROFILES."""
    return Settings(profile=PROFILES[profile] if isinstance(profile, str) else profile, **values)


def named_profile(name: str, changes: Mapping[str, Any]) -> Profile:
    """Give a profile, with some of its fields changed. Raises: KeyError, TypeError."""
    return replace(PROFILES[name], **changes)
