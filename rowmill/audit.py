"""Who did what: writes the hash-chained audit trail and checks it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from rowmill.models import AuditEvent, Org, User
from rowmill.storage.seal import master_sealer


def record(
    org: Org, actor: User | None, verb: str, target_type: str, target_id: object, **details: int | str | bool | None
) -> AuditEvent:
    """Append one event to the org's trail. `details` are ids, codes and counts, never a cell's value.

    Again: appends another event.
    """
    with transaction.atomic():
        Org.objects.select_for_update(no_key=True).get(pk=org.pk)
        last = AuditEvent.objects.filter(org=org).order_by("-position").first()
        event = AuditEvent(
            org=org,
            position=1 if last is None else last.position + 1,
            at=timezone.now(),
            actor=actor,
            actor_name=actor.email if actor else "rowmill",
            verb=verb,
            target_type=target_type,
            target_id=str(target_id),
            details=details,
        )
        event.mac = _mac(event, last.mac if last else "")
        event.save(force_insert=True)
    return event


def find_break(org: Org) -> int | None:
    """Give the position of the first event that does not fit the chain, None where all do.

    Cost: reads the whole trail. A cut tail shows only against an exported head.
    """
    before, expected = "", 1
    for event in AuditEvent.objects.filter(org=org).order_by("position").iterator():
        if event.position != expected or event.mac != _mac(event, before):
            return expected
        before, expected = event.mac, expected + 1
    return None


def _mac(event: AuditEvent, before: str) -> str:
    """Chain an event to the one before it."""
    return master_sealer(settings.ROWMILL_ENCRYPTION_KEY).mac(_canonical(event, before), f"audit|{event.org_id}")


def _canonical(event: AuditEvent, before: str) -> bytes:
    """Give an event's bytes in one fixed form."""
    at: datetime = event.at
    fields: Mapping[str, Any] = {
        "before": before,
        "position": event.position,
        "at": at.isoformat(timespec="microseconds"),
        "actor": event.actor_name,
        "verb": event.verb,
        "target": [event.target_type, event.target_id],
        "details": event.details,
    }
    return json.dumps(fields, sort_keys=True, separators=(",", ":")).encode()
