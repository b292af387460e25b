"""From a sound file to its import, page by page: which column is which field, what it would change, start."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_POST

from rowmill import audit
from rowmill.contacts.first_rows import read_first_rows, stored_columns
from rowmill.contacts.mapping import Match, propose_mapping, save_mapping, with_samples
from rowmill.contracts import Kind
from rowmill.errors import InputError, StateError
from rowmill.jobs.imports import ask_effect, find_standing, missing_keys, need_bulk, start_import
from rowmill.merging.effects import (
    UNDER_WAY,
    find_effect,
    is_above,
    is_outdated,
    may_change,
    policy_of,
    read_effect_examples,
    request_effect,
    share_percent,
)
from rowmill.merging.target import Target
from rowmill.models import EffectState, ImportEffect, Upload, UploadState
from rowmill.tabular.failed_rows import FURTHER, LINE, WRONG
from rowmill.tabular.header import fold
from rowmill.uploads.handouts import need_bytes
from rowmill.web.frame import MemberRequest, load_anew, member_view
from rowmill.web.import_tags import EXTRA, IGNORE, label_of
from rowmill.web.verdicts import find_upload

OURS = frozenset(fold(name) for name in (LINE, WRONG, FURTHER))
POLICY_WORDS = {
    "update": ("Update", "Filled cells of the file replace what is there; blank ones change nothing."),
    "blanks": ("Fill in blanks", "Only what is blank there is filled in; nothing is replaced."),
    "newest": (
        "Newest wins",
        "The newer of the two stands, by the field “{newest_by}”. Where that is blank there, the file’s stands.",
    ),
    "skip": ("Leave alone", "What is there stays as it is; only new rows come in."),
}


@dataclass(slots=True)
class Line:
    """One line of the mapping's form: a column, what stands in its box, what is wrong with that, and whether it is saved."""

    match: Match
    said: str
    trouble: str = ""
    changed: bool = False

    @property
    def doubtful(self) -> bool:
        """Tell whether somebody should look at it: it is only alike, no field was found for it, or what is said is wrong."""
        match = self.match
        placed = match.field or match.ignored or fold(self.said) == fold(IGNORE)
        return match.how == "likeness" or bool(self.trouble) or not placed


# ------------------------------------------------------------------------------------------------ the mapping


@require_http_methods(["GET", "HEAD", "POST"])
@member_view
def mapping_page(request: MemberRequest, public_id: UUID) -> HttpResponse:
    """Show what each column is taken for; take what somebody says instead, and go on to the effect."""
    upload = find_upload(request, public_id)
    if upload.state != UploadState.READY:
        return _not_ready(request, upload)
    kind = need_bulk(upload)
    need_bytes(upload)
    matches = propose_mapping(upload)
    ours = _our_columns(upload.header)
    lines = [Line(match, _said(kind, match, ours)) for match in matches]
    if request.method == "POST":
        request.caller.need_write()
        for line in lines:
            said = request.POST.get(f"c{line.match.place}", "").strip()
            line.said, line.changed = said, fold(said or EXTRA) != fold(line.said)
    mapping, ignored = _read_lines(kind, lines)
    sound = not any(line.trouble for line in lines)
    if request.method == "POST" and request.POST.get("do") == "save" and sound and not missing_keys(kind, mapping):
        try:
            save_mapping(request.caller, upload, mapping, ignored, remember="remember" in request.POST)
        except StateError as error:  # another window was faster
            messages.warning(request, str(error))
            return _see(reverse("upload-mapping", args=[public_id]))
        request_effect(upload, policy_of(upload), request.caller.user)
        return _see(reverse("upload-effect", args=[public_id]))
    rows = read_first_rows(upload, mapping, ignored)
    audit.record(upload.org, request.caller.user, "upload.look", "upload", upload.public_id, part="columns")
    context = {
        "upload": upload,
        "kind": kind,
        "lines": lines,
        "missing": missing_keys(kind, mapping),
        "sound": sound,
        "keys": set(kind.target.key_cells),  # type: ignore[attr-defined]
        "rows": rows,
        "columns": stored_columns(upload, rows or ()),
        "standing": find_standing(upload),
        "mapped": len(mapping),
        "alike": sum(line.match.how == "likeness" for line in lines),
        "doubtful": [line for line in lines if line.doubtful],
    }
    if request.htmx:
        return render(request, "imports/first_rows.html", context | {"renewed": True})
    for line, match in zip(lines, with_samples(upload, matches), strict=True):
        line.match = match
    refused = request.POST.get("do") == "save"
    return render(request, "imports/mapping.html", context | {"refused": refused}, status=400 if refused else 200)


def _said(kind: Kind, match: Match, ours: Collection[int]) -> str:
    """Give what stands in a column's box."""
    if match.field:
        return label_of(kind, match.field)
    return IGNORE if match.ignored or match.place in ours else EXTRA


def _our_columns(header: Sequence[str]) -> Collection[int]:
    """Find the columns that a file of rows to mend has from here: nobody wants them in the table."""
    begins = [fold(name) for name in header[:2]] == [fold(LINE), fold(WRONG)]
    return [place for place, name in enumerate(header, 1) if begins and fold(name) in OURS]


def _read_lines(kind: Kind, lines: list[Line]) -> tuple[dict[str, int], list[int]]:
    """Read the boxes; a line of which no sense can be made says so. Shape: (field -> place, places not imported)."""
    names = {fold(word): column.name for column in kind.columns for word in (column.name, column.label)}
    mapping: dict[str, int] = {}
    ignored = []
    for line in lines:
        word, place = fold(line.said), line.match.place
        if word in ("", fold(EXTRA)):
            continue
        if word == fold(IGNORE):
            ignored.append(place)
        elif word not in names:
            line.trouble = "There is no such field. Choose one of the list, or say that it is kept as extra."
        elif names[word] in mapping:
            line.trouble = f"Column {mapping[names[word]]} is this field already. Only one column can be it."
        else:
            mapping[names[word]] = place
    return mapping, ignored


# ------------------------------------------------------------------------------------------------ the effect


@require_http_methods(["GET", "HEAD", "POST"])
@member_view
def effect_page(request: MemberRequest, public_id: UUID) -> HttpResponse:
    """Show what the import would do; by POST have it worked out under a policy."""
    upload = find_upload(request, public_id)
    if upload.state != UploadState.READY:
        return _not_ready(request, upload)
    kind = need_bulk(upload)
    if request.method == "POST":
        request.caller.need_write()
        need_bytes(upload)
        try:
            ask_effect(request.caller, upload, request.POST.get("duplicates", ""))
        except InputError as error:
            if error.code != "bad_mapping":
                raise
            messages.warning(request, str(error))
            return _see(reverse("upload-mapping", args=[public_id]))
        if not request.htmx:
            return _see(reverse("upload-effect", args=[public_id]))
    context = effect_context(request, upload, kind)
    if context["examples"]:
        audit.record(upload.org, request.caller.user, "upload.look", "upload", upload.public_id, part="effect")
    return render(request, "imports/effect_live.html" if request.htmx else "imports/effect.html", context)


def effect_context(request: MemberRequest, upload: Upload, kind: Kind) -> dict[str, Any]:
    """Give what the effect's page shows."""
    policy = policy_of(upload)
    effect = find_effect(upload, policy)
    done = effect is not None and effect.state == EffectState.DONE
    free = not may_change(upload, policy)
    return {
        "upload": upload,
        "kind": kind,
        "policy": policy,
        "policies": _policy_words(kind),
        "effect": effect,
        "done": done,
        "under_way": effect is not None and effect.state in UNDER_WAY,
        "outdated": effect is not None and is_outdated(effect),
        "percent": share_percent(effect) if effect is not None else 0.0,
        "above": done and effect is not None and is_above(effect) and not free,
        "free": free,
        "segments": _segments(effect) if done and effect is not None else [],
        "importable": upload.row_count - effect.rejected if done and effect is not None else upload.row_count,
        "examples": read_effect_examples(effect) if done and effect is not None else [],
        "missing": missing_keys(kind, upload.mapping),
        "standing": find_standing(upload),
    }


def _policy_words(kind: Kind) -> dict[str, tuple[str, str]]:
    """Give the policies that there are for a kind, in words."""
    target: Target = kind.target  # type: ignore[attr-defined]
    field = label_of(kind, target.newest_by) if target.newest_by else ""
    return {
        slug: (name, words.format(newest_by=field))
        for slug, (name, words) in POLICY_WORDS.items()
        if slug in target.policies
    }


def _segments(effect: ImportEffect) -> list[dict[str, Any]]:
    """Lay the parts of an effect side by side in a bar. Units: percent of its width."""
    parts = {word: getattr(effect, word) for word in ("inserted", "updated", "unchanged", "rejected")}
    total, start, found = sum(parts.values()), 0.0, []
    for word, count in parts.items():
        width = 100 * count / total if total else 0.0
        found.append({"word": word, "count": count, "start": f"{start:.3f}%", "width": f"{width:.3f}%"})
        start += width
    return found


@require_POST
@member_view
def start(request: MemberRequest, public_id: UUID) -> HttpResponse:
    """Start the import that the effect's page showed; what is not true any more is shown anew first."""
    upload = find_upload(request, public_id)
    if upload.state != UploadState.READY:
        return _not_ready(request, upload)
    need_bulk(upload)
    request.caller.need_write()
    try:
        _need_seen(upload, request.POST)
        job = start_import(request.caller, upload, go_ahead="go_ahead" in request.POST)
    except (InputError, StateError) as error:
        there = find_standing(upload).job
        if there is not None and there.deleted_at is None:  # two windows, or pressed twice: this is what was wanted
            messages.info(request, "This file is imported once: here is how far that is.")
            return _see(reverse("job", args=[there.public_id]))
        messages.warning(request, str(error))
        return _see(reverse("upload-effect", args=[public_id]))
    return _see(reverse("job", args=[job.public_id]))


def _need_seen(upload: Upload, form: Mapping[str, str]) -> None:
    """Raises: StateError where what was shown beside the tick is not what would happen now."""
    effect = find_effect(upload, policy_of(upload))
    if "go_ahead" not in form or effect is None or effect.state == EffectState.FAILED:
        return
    if is_outdated(effect) or form.get("updated") != str(effect.updated) or effect.state != EffectState.DONE:
        request_effect(upload, policy_of(upload), upload.created_by)
        raise StateError("What this import would change is another number by now. Look at it, then decide again.")


def _not_ready(request: MemberRequest, upload: Upload) -> HttpResponse:
    """Lead to the file's own page, which says how far it is, or why it never will be."""
    return load_anew() if request.htmx else _see(reverse("upload", args=[upload.public_id]))


def _see(address: str) -> HttpResponseRedirect:
    """Send the browser on after a POST."""
    return HttpResponseRedirect(address, status=303)
