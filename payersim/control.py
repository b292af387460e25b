"""The control plane: set the payer up and ask what it saw. On a port of its own, so that no client can meet it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

from payersim.book import Book
from payersim.messages import Call, Reply, json_reply
from payersim.settings import PROFILES, Settings, named_profile
from payersim.simulator import Simulator

_SETTABLE = {f.name for f in fields(Settings)} - {"profile", "clock", "clients"}


class Control:
    """The verbs of the control plane, one method each; `__call__` answers HTTP."""

    def __init__(self, simulator: Simulator) -> None:
        self.simulator = simulator
        self._verbs: dict[tuple[str, str], Callable[[Call], Any]] = {
            ("POST", "/control/book"): self.load_book,
            ("POST", "/control/profile"): self.set_profile,
            ("POST", "/control/seed"): self.set_seed,
            ("POST", "/control/settings"): self.set_settings,
            ("POST", "/control/reset"): self.reset,
            ("POST", "/control/revoke-tokens"): self.revoke_tokens,
            ("POST", "/control/maintenance"): self.set_maintenance,
            ("POST", "/control/heal"): self.heal,
            ("POST", "/control/advance"): self.advance,
            ("GET", "/control/stats"): self.stats,
            ("GET", "/control/health"): self.health,
        }

    async def __call__(self, call: Call) -> Reply:
        """Answer a control call; what cannot be understood is a 400 that says what was expected."""
        verb = self._verbs.get((call.method, call.path))
        if verb is None:
            return json_reply({"error": "no such verb", "verbs": [" ".join(v) for v in self._verbs]}, 404)
        try:
            return json_reply(verb(call))
        except (ValueError, KeyError, TypeError, AttributeError, OSError) as error:
            return json_reply({"error": f"{type(error).__name__}: {error}"}, 400)

    def load_book(self, call: Call) -> dict[str, Any]:
        """Take a claim book: JSON lines as the body, or ?path= of a file on the simulator's machine."""
        path = call.query.get("path")
        self.simulator.book = Book.from_path(Path(path)) if path else Book.from_bytes(call.body)
        return {"claims": len(self.simulator.book)}

    def set_profile(self, call: Call) -> dict[str, Any]:
        """Take {"name": one of the profiles, and any of its fields to change}."""
        changes = json.loads(call.body)
        self.simulator.settings.profile = named_profile(changes.pop("name"), changes)
        return {"profile": self.simulator.settings.profile.name, "profiles": list(PROFILES)}

    def set_seed(self, call: Call) -> dict[str, Any]:
        """Take {"seed": n}."""
        self.simulator.settings.seed = int(json.loads(call.body)["seed"])
        return {"seed": self.simulator.settings.seed}

    def set_settings(self, call: Call) -> dict[str, Any]:
        """Take any of the settings by name."""
        changes = json.loads(call.body)
        if unknown := set(changes) - _SETTABLE:
            raise ValueError(f"unknown: {sorted(unknown)}; known: {sorted(_SETTABLE)}")
        for name, value in changes.items():
            setattr(self.simulator.settings, name, value)
        return {"set": sorted(changes)}

    def reset(self, call: Call) -> dict[str, Any]:
        """Forget tokens, attempts and statistics; settings and book stay."""
        self.simulator.reset()
        return {"reset": True}

    def revoke_tokens(self, call: Call) -> dict[str, Any]:
        """Make every token invalid at once."""
        return {"revoked": self.simulator.tokens.revoke()}

    def set_maintenance(self, call: Call) -> dict[str, Any]:
        """Take {"on": true or false}: while on, every call gets 503."""
        self.simulator.maintenance = bool(json.loads(call.body)["on"])
        return {"on": self.simulator.maintenance}

    def heal(self, call: Call) -> dict[str, Any]:
        """Take {"on": true or false}: while on, claims that would misbehave for ever are answered."""
        self.simulator.healed = bool(json.loads(call.body)["on"])
        return {"on": self.simulator.healed}

    def advance(self, call: Call) -> dict[str, Any]:
        """Take {"seconds": n}: put the clock ahead, so that tokens expire and maintenance comes."""
        self.simulator.tokens.ahead += float(json.loads(call.body)["seconds"])
        return {"ahead": self.simulator.tokens.ahead}

    def stats(self, call: Call) -> dict[str, Any]:
        """Give the statistics; with ?claims=1 also by claim number."""
        return self.simulator.stats.told(claims=call.query.get("claims") == "1")

    def health(self, call: Call) -> dict[str, Any]:
        """Say that it is there, and what it is set to."""
        s = self.simulator.settings
        return {
            "simulated": True,
            "profile": s.profile.name,
            "seed": s.seed,
            "claims_in_book": len(self.simulator.book),
        }
