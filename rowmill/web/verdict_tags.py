"""What the parts in templates/verdict say: mends by name, the map as shapes and in words, the lines of an excerpt."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from typing import Any
from urllib.parse import urlencode

from django import template

from rowmill import registry
from rowmill.errors import InputError
from rowmill.tabular.mends import Mend, get_mend
from rowmill.web.tags import plural

register = template.Library()

HEALTH = {".": "ok", "w": "warning", "e": "error", "E": "broken"}
HEALTH_WORDS = {"ok": "sound", "warning": "with warnings", "error": "with errors", "broken": "mostly errors"}
UPLOAD_WORDS = {
    "RECEIVING": "coming in",
    "CHECKING": "being checked",
    "READY": "sound",
    "REJECTED": "refused",
    "ABORTED": "given up",
}


@register.simple_tag
def mend_of(slug: str) -> Mend:
    """Give a mend by its slug: slug, title, help."""
    try:
        return get_mend(slug)
    except InputError:  # of another release
        return Mend(slug, slug.partition(":")[0].replace("-", " ").capitalize(), "")


@register.filter
def mend_titles(slugs: Iterable[str]) -> str:
    """Name mends in one line."""
    return "; ".join(mend_of(slug).title[:1].lower() + mend_of(slug).title[1:] for slug in slugs)


@register.simple_tag
def mends_of(causes: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """Give the mends that causes propose, each with the first cause that does."""
    found: dict[str, int] = {}
    for index, cause in enumerate(causes):
        if cause["mend"]:
            found.setdefault(cause["mend"], index)
    return found


@register.filter
def first_of(slug: str, proposed: Mapping[str, int]) -> int:
    """Give the cause beside which a mend's tick stands."""
    return proposed[slug]


@register.filter
def stay(causes: Sequence[Mapping[str, Any]], proposed: Mapping[str, int]) -> str:
    """Say how many places of the causes that stop the file no mend clears; nothing where all are cleared."""
    stopping = [cause for cause in causes if stops(cause)]
    count = sum(cause["count"] - (cause["clears"] if cause["mend"] in proposed else 0) for cause in stopping)
    return plural(count, "place") if count > 0 else ""


@register.filter
def stops(cause: Mapping[str, Any]) -> bool:
    """Tell whether a cause stops the file."""
    return does_stop(cause["code"], cause["severity"])


def does_stop(code: str, severity: str) -> bool:
    """Tell whether a finding or a cause stops the file: a bad cell only rejects its row."""
    return severity == "error" and code not in registry.CHECKS


@register.filter
def advice(cause: Mapping[str, Any], findings: Iterable[Any]) -> str:
    """Give what to do about a cause that no mend clears, as its findings say it."""
    told = ((f["code"], f["mend"]) if isinstance(f, Mapping) else (f.code, f.mend) for f in findings)
    return next((str(mend) for code, mend in told if code == cause["code"] and mend), "")


@register.filter
def has_place(found: Any) -> bool:
    """Tell whether a cause or a finding has a place to look at."""
    return bool(_place_of(found))


@register.filter
def place_query(found: Any) -> str:
    """Give a place as an excerpt is asked for: a kept finding by its number, all else as line=812&byte=34567."""
    position = getattr(found, "position", None)
    return urlencode(_place_of(found) if position is None else {"finding": position})


def _place_of(found: Any) -> dict[str, int]:
    """Give what is known of where a cause or a finding is: line, byte."""
    told = found if isinstance(found, Mapping) else {name: getattr(found, name) for name in ("line", "byte")}
    return {name: told[name] for name in ("line", "byte") if told[name] is not None}


@register.filter
def lower_first(words: str) -> str:
    """Write words as they stand within a sentence."""
    return words[:1].lower() + words[1:]


@register.filter
def upload_word(state: str) -> str:
    """Say an upload's state in words."""
    return UPLOAD_WORDS.get(state, state)


@register.simple_tag
def damage_strip(damage: str, size_bytes: int) -> dict[str, Any]:
    """Lay the map out. Shape: `count` stretches, the `troubled` ones, `runs` of equal health, all of it in `words`."""
    count = len(damage)
    runs, start = [], 0
    for letter, stretches in groupby(damage):
        length = len(list(stretches))
        health = HEALTH.get(letter, "error")
        runs.append({"index": start, "health": health, "words": _run_words(start, length, count, health)})
        start += length
    troubled = [
        {
            "index": i,
            "health": HEALTH.get(letter, "error"),
            "words": _run_words(i, 1, count, HEALTH.get(letter, "error")),
        }
        for i, letter in enumerate(damage)
        if letter != "."
    ]
    return {"count": count, "troubled": troubled, "runs": runs, "words": _map_words(damage)}


def _run_words(start: int, length: int, count: int, health: str) -> str:
    """Say where a run is: From 41.5 % to 42 % of the file: with errors."""
    return f"From {100 * start / count:.3g} % to {100 * (start + length) / count:.3g} % of the file: {HEALTH_WORDS[health]}"


def _map_words(damage: str) -> str:
    """Say the whole map in a sentence."""
    errors, warnings = damage.lower().count("e"), damage.count("w")
    count = len(damage)
    first = next((i for i, letter in enumerate(damage) if letter != "."), 0)
    told = [plural(errors, "stretch").replace("stretchs", "stretches") + " with errors"] if errors else []
    told += [f"{warnings:,} with warnings only"] if warnings else []
    told += [f"{count - errors - warnings:,} sound"] if count > errors + warnings else []
    where = (
        f"The first trouble is {100 * first / count:.3g} % into it." if first else "The trouble begins at its start."
    )
    return f"The whole file in {count:,} equal stretches: {', '.join(told)}. {where}"


@register.filter
def lines_words(lines: Sequence[Mapping[str, Any]]) -> str:
    """Say which lines are shown: Lines 809 to 815."""
    numbers = [line["line"] for line in lines if line["line"]]
    if not numbers:
        return plural(len(lines), "line") if lines else "No line"
    return f"Line {numbers[0]:,}" if len(numbers) == 1 else f"Lines {numbers[0]:,} to {numbers[-1]:,}"


@register.filter
def has_mark(line: Mapping[str, Any]) -> bool:
    """Tell whether the place is in a line."""
    return any(kind == "place" for _, kind in line["parts"])
