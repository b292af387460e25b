"""What the pages of an import say over and over: its steps, fields in words, values as they are stored."""

from __future__ import annotations

from typing import Any

from django import template
from django.urls import reverse

from rowmill.contacts.mapping import Match
from rowmill.contracts import Kind
from rowmill.merging.effects import awaits
from rowmill.models import Job, Upload
from rowmill.registry import get_kind

register = template.Library()

EXTRA, IGNORE = "Keep as extra", "Do not import"
HOW_WORDS = {
    "name": "same name",
    "alias": "known spelling",
    "remembered": "as you set it before",
    "hand": "set by hand",
}
STEPS = (("upload", "File"), ("upload-mapping", "Columns"), ("upload-effect", "Effect"), ("job", "Import"))
MOST_SHOWN = 120


def label_of(kind: Kind, name: str) -> str:
    """Give a field's name as people read it."""
    found = next((column for column in kind.columns if column.name == name), None)
    return found.label or found.name if found is not None else name.replace("_", " ").capitalize()


@register.filter
def merges(thing: Upload | Job) -> bool:
    """Tell whether rows of this kind are merged into a table."""
    return bool(thing.kind) and get_kind(thing.kind).merges


@register.inclusion_tag("imports/steps.html")
def import_steps(upload: Upload, here: str, job: Job | None = None) -> dict[str, Any]:
    """Show the steps of an import, which one this page is, and lead to those that are open."""
    done_with = STEPS.index(next(step for step in STEPS if step[0] == here))
    found = []
    for place, (name, label) in enumerate(STEPS):
        thing = (job if job is None or job.deleted_at is None else None) if name == "job" else upload
        address = reverse(name, args=[thing.public_id]) if thing is not None else ""
        found.append({"label": label, "address": address, "here": name == here, "done": place < done_with})
    return {"steps": found}


@register.filter
def awaited(upload: Upload) -> str:
    """Say what a sound file without a job waits for."""
    return awaits(upload)


@register.simple_tag
def field_label(kind: Kind, name: str) -> str:
    """Name a column of the table in words."""
    return label_of(kind, name)


@register.filter
def with_label(cause: str, kind: Kind) -> str:
    """Say a cause with its field as people read it: annual_revenue: no amount -> Annual revenue: no amount."""
    name, colon, words = cause.partition(": ")
    text = f"{label_of(kind, name)}: {words}" if colon and name.isidentifier() else cause
    return text[:1].upper() + text[1:]


@register.filter
def with_labels(message: str, kind: Kind) -> str:
    """Say why a row of a bulk kind was rejected, each reason with its field as people read it; others as they are."""
    return "; ".join(with_label(one, kind) for one in message.split("; ")) if kind.merges else message


@register.filter
def how_sure(match: Match) -> str:
    """Say by what a column is taken for its field."""
    if match.ignored:
        return "left out"
    if match.how == "likeness":
        return f"alike, {100 * match.confidence:.0f} %"
    return HOW_WORDS.get(match.how, "")


@register.filter
def percent(share: float) -> str:
    """Write a share as whole percent; what is nearly nothing or nearly all says so."""
    whole = round(100 * share)
    if whole == 0 and share > 0:
        return "< 1 %"
    return "> 99 %" if whole == 100 and share < 1 else f"{whole} %"


@register.filter
def stored(value: Any) -> str:
    """Write a value as it is stored: lists with commas, objects member by member, nothing as nothing."""
    if value is None or value in ("", [], {}):
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        text = ", ".join(str(one) for one in value)
    elif isinstance(value, dict):
        text = "; ".join(f"{name}: {one}" for name, one in value.items())
    else:
        text = str(value)
    return text if len(text) <= MOST_SHOWN else text[:MOST_SHOWN] + "…"


@register.filter
def get(values: Any, name: str) -> Any:
    """Give a member of a mapping."""
    return values.get(name)


@register.filter
def changed_members(change: tuple[str, Any, Any]) -> list[tuple[str, Any, Any]]:
    """Give what changes of an object member by member, else the change itself."""
    name, old, new = change
    if not (isinstance(old, dict) and isinstance(new, dict)):
        return [change]
    keys = [key for key in {**old, **new} if old.get(key) != new.get(key)]
    return [(f"{name}: {key}", old.get(key), new.get(key)) for key in keys]
