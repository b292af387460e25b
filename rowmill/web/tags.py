"""What templates say over and over: icons, status words, numbers with separators, times with their zone."""

from __future__ import annotations

from datetime import datetime
from types import SimpleNamespace
from typing import Any

from django import template
from django.templatetags.static import static
from django.urls import NoReverseMatch, reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

register = template.Library()

# The icons and colours that the status words have had since the first release of the source system.
STATUS_ICONS = {
    "PENDING": ("clock", "grey"),
    "PROCESSING": ("loader-2", "blue spin"),
    "CANCELLING": ("clock", "yellow pulse"),
    "CANCELLED": ("x", "grey"),
    "COMPLETED": ("check", "green"),
    "FAILED": ("x", "red"),
}
OUTCOME_WORDS = {
    "ok": "ok",
    "not_found": "not found",
    "rejected": "rejected",
    "failed": "failed",
    "unprocessed": "not processed",
}
MERGE_WORDS = {"inserted": "new", "updated": "changed", "unchanged": "unchanged"}
OUTCOME_ICONS = {
    "ok": ("check", "green"),
    "not_found": ("search", "orange"),
    "rejected": ("alert-triangle", "pink"),
    "failed": ("x", "red"),
    "unprocessed": ("clock", "grey"),
}
CAUSE_WORDS = {
    "leading-zeros": "leading zeros lost",
    "spaces": "blanks around it",
    "case": "another case",
    "decimal": "a .0 added",
    "signs": "other signs inside",
    "swapped": "two characters changed places",
    "near": "one wrong character",
    "several": "fits more than one known ID",
    "absent": "truly absent",
}
DELIMITER_WORDS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars", ":": "colons", " ": "spaces"}
EVENT_WORDS = {
    "job.submit": "started the job",
    "job.cancel": "asked to cancel",
    "job.retry": "started a retry",
    "job.completed": "finished: every row has an outcome",
    "job.cancelled": "stopped: the job is cancelled",
    "job.failed": "gave up on a part of the job",
    "job.delete": "deleted the file and its results",
    "job.undo": "asked to take the import back",
    "job.undone": "the import is taken back",
    "job.remove": "asked to remove what the import brought",
    "job.removed": "what the import brought is removed",
    "import.go_ahead": "gave the go-ahead for what it changes",
    "results.view": "looked at the results",
    "results.download": "downloaded the results",
    "unknown_ids.view": "looked at the unknown IDs",
    "results.read": "read the results by API",
}


@register.simple_tag
def icon(name: str, classes: str = "") -> SafeString:
    """Draw an icon of the sprite; words beside it carry the meaning."""
    return format_html(
        '<svg class="icon {}" aria-hidden="true" focusable="false"><use href="{}#{}"/></svg>',
        classes,
        static("vendor/tabler-icons/sprite.svg"),
        name,
    )


@register.simple_tag
def status(state: str) -> SafeString:
    """Show a job's state: icon, colour and word."""
    name, colour = STATUS_ICONS[state]
    return format_html('<span class="status-word is-{}">{}<span>{}</span></span>', colour, icon(name), state)


@register.simple_tag
def outcome_mark(outcome: str, live: bool = False) -> SafeString:
    """Show a row's outcome: icon, colour and word; while the job runs, what has none is still to do."""
    name, colour = OUTCOME_ICONS[outcome]
    word = "to do" if live and outcome == "unprocessed" else OUTCOME_WORDS[outcome]
    return format_html('<span class="status-word is-{}">{}<span>{}</span></span>', colour, icon(name), word)


@register.filter
def delimiter_word(delimiter: str) -> str:
    """Name what stands between cells: commas, semicolons."""
    return DELIMITER_WORDS.get(delimiter, "one column" if not delimiter else f"cells parted by {delimiter}")


@register.filter
def number(value: Any) -> str:
    """Write a count with separators: 1,942."""
    return f"{int(value):,}" if value is not None else ""


@register.filter
def outcome_word(outcome: str) -> str:
    """Say an outcome in words: not_found -> not found."""
    return OUTCOME_WORDS.get(outcome) or MERGE_WORDS.get(outcome, outcome)


@register.filter
def stamp(at: datetime | None) -> str:
    """Write a time as 22 Nov 2026 14:05 UTC."""
    if at is None:
        return ""
    local = timezone.localtime(at)
    return f"{local.day} {local:%b %Y %H:%M %Z}"


@register.filter
def ago(at: datetime) -> str:
    """Say how long ago in words: just now, 3 minutes ago, 2 days ago."""
    seconds = max(0, int((timezone.now() - at).total_seconds()))
    if seconds < 45:
        return "just now"
    for size, word in ((86_400, "day"), (3_600, "hour"), (60, "minute")):
        if seconds >= size:
            return f"{plural(seconds // size, word)} ago"
    return "1 minute ago"


@register.filter
def plural(count: int, word: str) -> str:
    """Count a word: 1 row, 1,942 rows."""
    return f"{count:,} {word}" if count == 1 else f"{count:,} {word}s"


@register.filter
def span(seconds: tuple[int, int] | None) -> str:
    """Say a range of time in words: 40–60 s, 2–3 min, 1–2 h."""
    if seconds is None:
        return ""
    low, high = seconds
    size, unit = (1, "s") if high < 90 else (60, "min") if high < 5400 else (3600, "h")
    low, high = round(low / size), max(1, -(-high // size))
    return f"{low}–{high} {unit}" if low != high else f"about {high} {unit}"


@register.filter
def place(finding: Any) -> str:
    """Say where a finding or a cause is: Line 812, column 2 (first_name)."""
    finding = SimpleNamespace(**finding) if isinstance(finding, dict) else finding
    words = [f"line {finding.line:,}"] if finding.line else [f"row {finding.row:,}"] if finding.row else []
    if finding.column:
        words.append(f"column {finding.column}" + (f" ({finding.column_name})" if finding.column_name else ""))
    elif finding.column_name:
        words.append(f"column {finding.column_name}")
    text = ", ".join(words) or "the whole file"
    return text[0].upper() + text[1:]


@register.filter
def per_second(per_minute: float) -> str:
    """Say a pace in rows per second: 12,400, below ten with a decimal."""
    pace = per_minute / 60
    return f"{pace:,.0f}" if pace >= 10 else f"{pace:.1f}"


@register.filter
def share(count: int, most: int) -> str:
    """Give the width of a bar beside the longest one. Units: percent."""
    return f"{100 * count / most:.2f}%" if most else "0%"


@register.filter
def column_label(name: str) -> str:
    """Say a results column in words: total_paid -> Total paid."""
    return name.replace("_", " ").capitalize()


@register.filter
def cause_word(cause: str) -> str:
    """Say in a few words what became of an ID."""
    return CAUSE_WORDS.get(cause, cause)


@register.filter
def whole_percent(percent: float) -> int:
    """Round down, so that 100 is said only when all is done."""
    return int(percent)


@register.filter
def event_words(event: Any) -> str:
    """Say an audit event in words; one without words of its own is named by its verb."""
    verb = str(event.verb)
    return EVENT_WORDS.get(verb, verb.replace(".", " "))


@register.simple_tag
def moment(at: datetime | None) -> SafeString | str:
    """Show a time relative to now, the absolute one on hover."""
    if at is None:
        return ""
    return format_html('<time datetime="{}" title="{}">{}</time>', at.isoformat(), stamp(at), ago(at))


@register.inclusion_tag("frame/nav_entry.html", takes_context=True)
def nav_entry(context: template.Context, name: str, image: str, label: str, *also: str) -> dict[str, Any]:
    """Show an entry of the navigation; one whose address does not exist is left out."""
    try:
        address = reverse(name)
    except NoReverseMatch:
        return {"address": ""}
    match = getattr(context.get("request"), "resolver_match", None)
    here = match is not None and match.view_name in (name, *also)
    return {"address": address, "image": image, "label": label, "here": here}
