"""Tokens: who gets one, how long it lives, and how it is taken away."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import parse_qs

from payersim.messages import Call, Reply, json_reply
from payersim.settings import NOT_ENTITLED_CLIENT, WRONG_ENVIRONMENT_CLIENT, Settings
from payersim.stats import Stats

Verdict = Literal["good", "expired", "stale", "not_entitled"]


@dataclass
class Tokens:
    """The tokens in use. `stale` ones were revoked by a profile, gone ones by the control plane."""

    settings: Settings
    stats: Stats
    alive: dict[str, tuple[str, float]] = field(default_factory=dict)
    stale: set[str] = field(default_factory=set)
    ahead: float = 0.0

    def now(self) -> float:
        """Give the time, with what the control plane put it ahead."""
        return self.settings.clock() + self.ahead

    def issue(self, call: Call) -> Reply:
        """Answer a token call: client credentials in a form."""
        form = {key: values[0] for key, values in parse_qs(call.body.decode("utf-8", "replace")).items()}
        client = form.get("client_id", "")
        if "application/x-www-form-urlencoded" not in call.headers.get("content-type", ""):
            return self._refuse(415, "invalid_request", "The body must be a form")
        if form.get("grant_type") != "client_credentials":
            return self._refuse(400, "unsupported_grant_type", "Use client_credentials")
        if not client or self.settings.clients.get(client) != form.get("client_secret"):
            return self._refuse(401, "invalid_client", "Invalid client or client credentials")
        return json_reply(self._make(client))

    def _refuse(self, status: int, error: str, description: str) -> Reply:
        self.stats.tokens_refused += 1
        return json_reply({"error": error, "error_description": description}, status)

    def _make(self, client: str) -> dict[str, Any]:
        token = f"sim.{secrets.token_urlsafe(24)}"
        self.alive[token] = (client, self.now() + self.settings.token_ttl)
        self.stats.tokens_issued += 1
        return {
            "access_token": token,
            "expires_in": self.settings.token_ttl if self.settings.token_ttl % 1 else int(self.settings.token_ttl),
            "refresh_expires_in": 0,
            "refresh_token": None,
            "token_type": "Bearer",
            "id_token": None,
            "not-before-policy": 0,
            "session_state": None,
            "scope": "read_txn create_txn read_healthcheck",
        }

    def judge(self, call: Call) -> Verdict:
        """Say what the token of an API call is worth."""
        scheme, _, token = call.headers.get("authorization", "").partition(" ")
        client, expires_at = self.alive.get(token.strip(), ("", 0.0))
        if scheme.lower() != "bearer" or not client or self.now() >= expires_at:
            return "expired"
        if client == WRONG_ENVIRONMENT_CLIENT:
            return "expired"
        if client == NOT_ENTITLED_CLIENT:
            return "not_entitled"
        return "stale" if token.strip() in self.stale else "good"

    def revoke(self) -> int:
        """Take every token away at once. Gives how many."""
        gone = len(self.alive)
        self.alive.clear()
        self.stale.clear()
        self.stats.tokens_revoked += gone
        return gone

    def make_stale(self) -> None:
        """Revoke every token as a profile does it: a claim that has just got a 401 for it gets no second one."""
        self.stats.tokens_revoked += len(self.alive.keys() - self.stale)
        self.stale.update(self.alive)
