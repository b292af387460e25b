"""The third step for bulk kinds: somebody starts the import of a READY upload, with a go-ahead where it needs one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.db import transaction

from rowmill import audit
from rowmill.contracts import Column, Kind
from rowmill.doorbell import new_ring_id, ring
from rowmill.errors import InputError, StateError
from rowmill.faults import fault_point
from rowmill.jobs.hold import hold_upload
from rowmill.jobs.submit import make_job
from rowmill.merging.effects import (
    find_effect,
    is_above,
    is_outdated,
    may_change,
    options_of,
    policy_of,
    read_policy,
    request_effect,
    share_percent,
    stop_effects,
)
from rowmill.merging.target import Target
from rowmill.models import EffectState, ImportEffect, Job, Upload, UploadState
from rowmill.orgs import Caller
from rowmill.registry import get_kind
from rowmill.uploads.remembered import find_remembered

NO_EFFECT = "What this import would change is being worked out. Ask again when that is known, or give the go-ahead."


@dataclass(frozen=True, slots=True)
class Standing:
    """How far an upload of a bulk kind is: `job` where it was imported; else whether its steps can still be changed."""

    job: Job | None
    changeable: bool


def find_standing(upload: Upload) -> Standing:
    """Say how far an upload is. Cost: one query."""
    job = upload.jobs.select_related("upload", "created_by", "org").order_by("-id").first()
    ready = upload.state == UploadState.READY and upload.purged_at is None
    return Standing(job, job is None and ready)


def need_bulk(upload: Upload) -> Kind:
    """Give the upload's kind. Raises: StateError unless it is one that is merged into a table, of a sound file."""
    kind = get_kind(upload.kind) if upload.kind else Kind()
    if not kind.merges:
        raise StateError("Files of this kind are not imported into a table: there are no columns to map.")
    if upload.state != UploadState.READY:
        raise StateError("This file is not ready: it is still coming in, is being checked, or was refused.")
    return kind


def missing_keys(kind: Kind, mapping: Mapping[str, int]) -> list[Column]:
    """Give the fields of which one has to be a column of the file, where none is."""
    target: Target = kind.target  # type: ignore[attr-defined]
    names = target.key_cells
    if any(name in mapping for name in names):
        return []
    return [column for column in kind.columns if column.name in names]


def need_key(kind: Kind, mapping: Mapping[str, int]) -> None:
    """Raises: InputError bad_mapping where no column of the file names what a row is about."""
    missing = missing_keys(kind, mapping)
    if missing:
        words = " or the ".join(column.label or column.name for column in missing)
        raise InputError(
            f"No column of this file is the {words}. Say which one is: rows are told by it.", code="bad_mapping"
        )


def choose_policy(caller: Caller, upload: Upload, policy: str) -> None:
    """Set how the file is merged with what is there already. Raises: NotAllowed, InputError bad_option, StateError."""
    caller.need_write()
    target: Target = get_kind(upload.kind).target  # type: ignore[attr-defined]
    if read_policy(policy) not in target.policies:
        raise InputError(f"duplicates takes {', '.join(target.policies)} here.", code="bad_option", field="duplicates")
    with transaction.atomic():
        held = hold_upload(upload.pk)
        if held.jobs.exists():
            raise StateError("This file is being imported already, so its options cannot be changed.")
        intent = _intent_of(held)
        if policy_of(held) != policy:  # who compares policies wants to see what they come to: nothing starts by itself
            intent = {**intent, "review": True}
        if {**intent, "duplicates": policy} != held.intent:
            Upload.objects.filter(pk=held.pk).update(intent={**intent, "duplicates": policy})
    upload.refresh_from_db()


def _intent_of(upload: Upload) -> dict[str, Any]:
    """Give what the file was sent for; one sent for nothing yet waits for a look, and leaves out what the org left out before."""
    if upload.intent is not None:
        return dict(upload.intent)
    kept = find_remembered(upload, upload.header)
    return {"review": True, "ignored": list(kept.ignored) if kept is not None else []}


def ask_effect(caller: Caller, upload: Upload, policy: str = "") -> ImportEffect:
    """Choose a policy and have its effect worked out.

    Raises: NotAllowed, StateError; InputError bad_option, bad_mapping.
    """
    kind = need_bulk(upload)
    need_key(kind, upload.mapping)
    choose_policy(caller, upload, policy or policy_of(upload))
    return request_effect(upload, policy_of(upload), caller.user)


def start_import(caller: Caller, upload: Upload, policy: str = "", *, go_ahead: bool = False) -> Job:
    """Start the import of a READY upload.

    Raises: NotAllowed; InputError bad_option, bad_mapping; StateError: effect_needed while nobody knows what it would
    change, go_ahead_needed where that is more than the org lets pass without a word, wrong_state once it has a job.
    """
    kind = need_bulk(upload)
    need_key(kind, upload.mapping)
    choose_policy(caller, upload, policy or policy_of(upload))
    if not go_ahead:
        need_go_ahead(caller, upload)
    ring_id = new_ring_id()
    with transaction.atomic():
        held = hold_upload(upload.pk)
        if held.jobs.exists():
            raise StateError("This file is being imported already.")
        if (held.intent, held.mapping) != (upload.intent, upload.mapping):
            raise StateError("Somebody changed how this file is imported meanwhile. Look at its effect, then start it.")
        job = make_job(upload, caller.user, options_of(upload), ring_id)
        stop_effects(upload)
        if go_ahead:
            audit.record(caller.org, caller.user, "import.go_ahead", "job", job.public_id, **_told(upload))
    fault_point("submitted")
    ring(job.lane, ring_id)
    return job


def need_go_ahead(caller: Caller, upload: Upload) -> None:
    """Raises: StateError effect_needed, go_ahead_needed."""
    policy = policy_of(upload)
    if not may_change(upload, policy):
        return
    effect = find_effect(upload, policy)
    if effect is None or effect.state != EffectState.DONE or is_outdated(effect):
        request_effect(upload, policy, caller.user)
        raise StateError(NO_EFFECT, code="effect_needed")
    if is_above(effect):
        raise StateError(
            f"This import would change {effect.updated:,} that are there already: {share_percent(effect):.1f} % of its "
            f"rows, and {caller.org.name} asks for a go-ahead above {caller.org.go_ahead_percent} %. "
            "Look at its effect, then send it again with go_ahead.",
            code="go_ahead_needed",
            updated=effect.updated,
            percent=round(share_percent(effect), 1),
            limit_percent=caller.org.go_ahead_percent,
        )


def _told(upload: Upload) -> dict[str, int]:
    """Give what the one who gave the go-ahead could know of its effect."""
    effect = find_effect(upload, policy_of(upload))
    return {"updated": effect.updated} if effect is not None and effect.state == EffectState.DONE else {}
