"""Before an import: its effect is asked for, worked out in the background, and kept; and what an upload waits for."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal

import structlog
from django.db import transaction
from django.db.models import F, Max, Q, QuerySet
from django.db.models.functions import Now
from django.utils import timezone

from rowmill.doorbell import INTERACTIVE, ring
from rowmill.errors import InputError, LostLease, RowmillError, StorageFault
from rowmill.faults import fault_point
from rowmill.merging.preview import COUNTS, Difference, preview_import
from rowmill.merging.target import POLICIES, Target
from rowmill.models import AuditEvent, BatchMerge, EffectState, ImportEffect, Undo, Upload, UploadState, User
from rowmill.orgs import org_sealer
from rowmill.registry import get_kind
from rowmill.uploads.receive import is_for_precheck

log = structlog.get_logger("rowmill.merging")
Awaited = Literal["", "review", "effect", "go_ahead"]
EXAMPLES = 20
KEPT_CAUSES = 50
LEASE = timedelta(
    seconds=300
)  # renewed at each stretch of rows; the keys of the whole file are compared before the first
MOST_ATTEMPTS = 3
AWAY_SECONDS = 10
UNDER_WAY = (EffectState.WAITING, EffectState.RUNNING)


@dataclass(frozen=True, slots=True)
class Example:
    """One row that would change: its id in the table, the row of the file, and (column, before, after) of each change."""

    target_id: int
    row: int
    changes: tuple[tuple[str, Any, Any], ...]


# ------------------------------------------------------------------------------------------------ what an upload waits for


def policy_of(upload: Upload) -> str:
    """Give how the file is merged with what is there already."""
    return str((upload.intent or {}).get("duplicates") or "update")


def read_policy(text: str) -> str:
    """Give a policy as it is called. Raises: InputError bad_option."""
    if text not in POLICIES:
        raise InputError(f"duplicates takes {', '.join(POLICIES)}.", code="bad_option", field="duplicates")
    return text


def options_of(upload: Upload, policy: str = "") -> dict[str, Any]:
    """Give the options of the import: what the upload was sent with, under this policy."""
    return {**(upload.intent or {}), "duplicates": policy or policy_of(upload)}


def awaits(upload: Upload) -> Awaited:
    """Say what a READY upload waits for before its job: a look by its sender, its effect, or a go-ahead; "" for nothing."""
    intent = upload.intent
    if intent is None or is_for_precheck(intent) or not upload.kind or not get_kind(upload.kind).merges:
        return ""
    if intent.get("review") or not _has_key(upload):
        return "review"
    if intent.get("go_ahead") or not may_change(upload, policy_of(upload)):
        return ""
    effect = find_effect(upload, policy_of(upload))
    if effect is None or effect.state in UNDER_WAY:
        return "effect"
    return "go_ahead" if effect.state == EffectState.FAILED or is_above(effect) else ""


def _has_key(upload: Upload) -> bool:
    """Tell whether some column says what a row is about; without one every row would be rejected."""
    target: Target = get_kind(upload.kind).target  # type: ignore[attr-defined]
    return any(name in upload.mapping for name in target.key_cells)


def is_waiting(upload: Upload) -> bool:
    """Tell whether a sound file has no job since it waits for its effect or for a person."""
    waits = upload.state == UploadState.READY and upload.purge_after is None and upload.purged_at is None
    return waits and not upload.jobs.exists() and awaits(upload) != ""


def may_change(upload: Upload, policy: str) -> bool:
    """Tell whether an import could change enough of what is there to need a go-ahead. Cost: a probe of an index."""
    if policy == "skip" or upload.org.go_ahead_percent >= 100:
        return False
    target: Target = get_kind(upload.kind).target  # type: ignore[attr-defined]
    return target.model._default_manager.filter(org_id=upload.org_id).exists()


def share_percent(effect: ImportEffect) -> float:
    """Give which share of the file's rows would change something that is there. Units: percent."""
    rows = effect.inserted + effect.updated + effect.unchanged + effect.rejected
    return 100 * effect.updated / rows if rows else 0.0


def is_above(effect: ImportEffect) -> bool:
    """Tell whether an import needs a go-ahead."""
    return share_percent(effect) > effect.org.go_ahead_percent


# ------------------------------------------------------------------------------------------------ asking


def find_effect(upload: Upload, policy: str) -> ImportEffect | None:
    """Give what is known of an upload's effect under a policy."""
    found = ImportEffect.objects.select_related("org").filter(upload=upload, policy=policy)
    return found.first()


def is_outdated(effect: ImportEffect) -> bool:
    """Tell whether anybody has written since the effect was worked out: another import, an undo, a removal, a person.

    An edit by hand is known by its event in the trail: `contact.edit` and `contact.delete`, by the name of the model.
    """
    upload = effect.upload
    if effect.state != EffectState.DONE or effect.done_at is None:
        return False
    merged = BatchMerge.objects.filter(org_id=upload.org_id, job__kind=upload.kind, written_at__gt=effect.done_at)
    undone = Undo.objects.filter(org_id=upload.org_id, job__kind=upload.kind, touched_at__gt=effect.done_at)
    name = get_kind(upload.kind).target.model._meta.model_name  # type: ignore[attr-defined]
    edited = AuditEvent.objects.filter(
        org_id=upload.org_id, position__gt=effect.trail_position, verb__in=[f"{name}.edit", f"{name}.delete"]
    )
    return merged.exclude(job__upload=upload).exists() or undone.exists() or edited.exists()


def request_effect(upload: Upload, policy: str, user: User | None) -> ImportEffect:
    """Have the effect worked out, where it is not known or not true any more. Again: gives the one that there is."""
    with transaction.atomic():
        Upload.objects.select_for_update(no_key=True).get(pk=upload.pk)
        effect = find_effect(upload, policy)
        if effect is None:
            effect = ImportEffect.objects.create(org=upload.org, upload=upload, policy=policy, asked_by=user)
        elif effect.state == EffectState.FAILED or is_outdated(effect):
            ImportEffect.objects.filter(pk=effect.pk).update(
                state=EffectState.WAITING, attempts=0, rows_done=0, lease_until=None, error="", examples=b"",
                asked_by=user, asked_at=timezone.now(),
            )  # fmt: skip
            effect.refresh_from_db()
        else:
            return effect
    fault_point("effect_asked")
    ring(INTERACTIVE)
    return effect


def forget_effects(upload: Upload) -> None:
    """Drop what was worked out under another mapping. Whoever works one out now can write nothing any more."""
    ImportEffect.objects.filter(upload=upload).delete()


def stop_effects(upload: Upload) -> None:
    """Drop what is being worked out still: the import is started without it."""
    ImportEffect.objects.filter(upload=upload, state__in=UNDER_WAY).delete()


# ------------------------------------------------------------------------------------------------ working it out


def due_effects() -> QuerySet[ImportEffect]:
    """Find the effects that nobody works out: new ones, and those whose worker died."""
    return ImportEffect.objects.filter(Q(lease_until=None) | Q(lease_until__lt=Now()), state__in=UNDER_WAY)


def claim_due_effect() -> ImportEffect | None:
    """Take the effect that waits longest. Gives None where none is due. Cost: one read of an index then."""
    for effect_id in list(due_effects().order_by("pk").values_list("pk", flat=True)[:3]):
        mine = due_effects().filter(pk=effect_id)
        if mine.update(
            state=EffectState.RUNNING, claims=F("claims") + 1, attempts=F("attempts") + 1, lease_until=Now() + LEASE,
            rows_done=0,
        ):  # fmt: skip
            return ImportEffect.objects.select_related("upload__org", "org", "upload__created_by").get(pk=effect_id)
    return None


def take_back_effects() -> None:
    """Make all due that are under way: at the start of the only process there is."""
    ImportEffect.objects.filter(state=EffectState.RUNNING).update(lease_until=None)


def put_effect_off(effect: ImportEffect, seconds: float = 0.0, *, attempt_spent: bool = False) -> None:
    """Let an effect be worked out later, or at once, by whoever comes first. What its run may still write is refused."""
    until = Now() + timedelta(seconds=seconds) if seconds else None
    attempts = F("attempts") if attempt_spent else F("attempts") - 1
    _mine(effect).update(state=EffectState.WAITING, lease_until=until, attempts=attempts)


def run_effect(effect: ImportEffect) -> None:
    """Work out an effect that this caller holds. Again: yes, by whoever claims it.

    Raises: LostLease where it is not wanted any more or another took it over: nothing more is written.
    """
    if effect.attempts > MOST_ATTEMPTS:
        _fail(
            effect,
            f"The process that works this out stopped {MOST_ATTEMPTS} times, so it is not tried again by itself.",
        )
        return
    upload = effect.upload

    def tell(rows: int) -> None:
        _write(effect, rows_done=rows, lease_until=Now() + LEASE)
        fault_point("effect_stretch")

    fault_point("effect_claimed")

    as_of = timezone.now()  # what others write from here on it may have seen or not: then it is outdated
    trail = AuditEvent.objects.filter(org_id=upload.org_id).aggregate(last=Max("position"))["last"] or 0
    try:
        found = preview_import(upload, options_of(upload, effect.policy), examples=EXAMPLES, on_progress=tell)
    except StorageFault as fault:
        log.warning("effect waits for the storage", upload_id=str(upload.public_id), cause=str(fault))
        put_effect_off(effect, AWAY_SECONDS)
        return
    except FileNotFoundError:
        _fail(effect, "The bytes of this file are not here any more. Send it again.")
        return
    except LostLease:
        raise
    except RowmillError as error:
        _fail(effect, str(error))
        return
    except Exception:
        put_effect_off(effect, attempt_spent=True)  # for another try, of which there are few
        raise
    counts = {name: getattr(found, name) for name in COUNTS}
    _write(
        effect,
        state=EffectState.DONE,
        lease_until=None,
        done_at=as_of,
        trail_position=trail,
        rows_done=upload.row_count,
        causes=[list(pair) for pair in found.causes.most_common(KEPT_CAUSES)],
        examples=_seal(effect, found.examples),
        **counts,
    )
    fault_point("effect_done")
    log.info("effect worked out", upload_id=str(upload.public_id), rows=upload.row_count)


def _mine(effect: ImportEffect) -> QuerySet[ImportEffect]:
    """Give the row for as long as it is this caller's."""
    return ImportEffect.objects.filter(pk=effect.pk, state=EffectState.RUNNING, claims=effect.claims)


def _write(effect: ImportEffect, **fields: Any) -> None:
    """Write down what is known by now. Raises: LostLease."""
    if not _mine(effect).update(**fields):
        raise LostLease


def _fail(effect: ImportEffect, words: str) -> None:
    """End it without an answer; a person can ask again."""
    _write(effect, state=EffectState.FAILED, lease_until=None, error=words[:300], done_at=timezone.now())


# ------------------------------------------------------------------------------------------------ examples


def _place(effect: ImportEffect) -> str:
    """Name what is sealed, so that it opens nowhere else."""
    return f"effect|{effect.pk}"


def _seal(effect: ImportEffect, examples: Iterable[Difference]) -> bytes:
    """Seal the examples: they have cells."""
    told = []
    for one in examples:
        pairs = [(name, old, new) for name, (old, new) in one.changes.items()]
        told.append([one.target_id, one.row, pairs])
    return org_sealer(effect.org_id).seal(json.dumps(told).encode(), _place(effect))


def read_effect_examples(effect: ImportEffect) -> list[Example]:
    """Open the examples of an effect; none where they are gone."""
    if not effect.examples:
        return []
    told = json.loads(org_sealer(effect.org_id).open(effect.examples, _place(effect)))
    return [
        Example(target, row, tuple((name, old, new) for name, old, new in changes)) for target, row, changes in told
    ]
