"""The registry: slug -> dotted path of every kind, payer and check. Settings may add to each."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib import import_module
from typing import Any

from rowmill.contracts import Check, Kind, Payer
from rowmill.errors import NotFound

KINDS: dict[str, str] = {
    "claim_status": "rowmill.kinds.claim_status.ClaimStatus",
}
PAYERS: dict[str, str] = {
    "UHC": "rowmill.payers.uhc.UnitedHealthcare",
}
CHECKS: dict[str, str] = {
    "required": "rowmill.checks.basic.REQUIRED",
    "date": "rowmill.checks.basic.DATE",
    "date-not-future": "rowmill.checks.basic.DATE_NOT_FUTURE",
    "claim-number": "rowmill.checks.claims.CLAIM_NUMBER",
    "subscriber-id": "rowmill.checks.claims.SUBSCRIBER_ID",
    "tin": "rowmill.checks.claims.TIN",
    "lost-digits": "rowmill.checks.basic.LOST_DIGITS",
}


def _load(table: Mapping[str, str], slug: str, what: str) -> Any:
    """Import what a slug names."""
    try:
        module, name = table[slug].rsplit(".", 1)
    except KeyError:
        known = ", ".join(sorted(table)) or "none"
        raise NotFound(f"There is no {what} called {slug!r}. Known: {known}.") from None
    return getattr(import_module(module), name)


@cache
def get_kind(slug: str) -> Kind:
    """Give the kind, one object for the process. Raises: NotFound."""
    kind = _load(KINDS, slug, "kind")()
    assert isinstance(kind, Kind)
    return kind


def get_payer(slug: str) -> type[Payer]:
    """Give the connector's class. Raises: NotFound."""
    payer: type[Payer] = _load(PAYERS, slug, "payer")
    return payer


@cache
def get_check(slug: str) -> Check:
    """Give the check. Raises: NotFound."""
    check = _load(CHECKS, slug, "check")
    assert isinstance(check, Check)
    return check


def extend(kinds: Mapping[str, str], payers: Mapping[str, str], checks: Mapping[str, str]) -> None:
    """Add third parties' plugins, as the settings name them."""
    KINDS.update(kinds)
    PAYERS.update(payers)
    CHECKS.update(checks)
    get_kind.cache_clear()
    get_check.cache_clear()
