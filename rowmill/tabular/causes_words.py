"""The words for root causes: one sentence each, for one place and for many."""

from __future__ import annotations

# code -> (one place, many places). {line}, {last}, {count}, {swallowed}, {other} are numbers and our own words, never a cell.
CAUSES: dict[str, tuple[str, str]] = {
    "quote-not-closed": (
        "An unclosed quote on line {line} breaks its row.",
        "{count} quotes are never closed, the first on line {line}.",
    ),
    "quote-swallows-rows": (
        "An unclosed quote on line {line} swallowed {swallowed} rows.",
        "{count} unclosed quotes swallow the rows after them, the first on line {line}.",
    ),
    "quote-not-escaped": (
        "A quote inside a quoted cell on line {line} is not doubled.",
        "{count} rows have quotes inside quoted cells that are not doubled, the first on line {line}.",
    ),
    "text-after-quote": (
        "There is text after a closing quote on line {line}.",
        "{count} rows have text after a closing quote, the first on line {line}.",
    ),
    "quote-in-unquoted": (
        "A cell on line {line} holds a quote but is not quoted.",
        "{count} rows have cells that hold a quote but are not quoted, the first on line {line}.",
    ),
    "typographic-quotes": (
        "Line {line} has typographic quotes where plain ones belong.",
        "{count} rows have typographic quotes where plain ones belong, the first on line {line}.",
    ),
    "too-few-fields": (
        "The row on line {line} has too few fields.",
        "{count} rows have too few fields, the first on line {line}.",
    ),
    "too-many-fields": (
        "The row on line {line} has too many fields.",
        "{count} rows have too many fields, the first on line {line}.",
    ),
    "too-many-fields+trailing-delimiter": (
        "The row on line {line} has too many fields: it ends in surplus delimiters.",
        "{count} rows have too many fields: each ends in surplus delimiters, the first on line {line}.",
    ),
    "too-many-fields+typographic-quotes": (
        "The row on line {line} has too many fields: typographic quotes do not hold its cell together.",
        "{count} rows have too many fields: typographic quotes do not hold their cells together; the first is on line {line}.",
    ),
    "too-many-fields+quote-spaces": (
        "The row on line {line} has too many fields: a blank before a quote keeps it from counting.",
        "{count} rows have too many fields: a blank before a quote keeps it from counting; the first is on line {line}.",
    ),
    "too-many-fields+quote-delimiter": (
        "The row on line {line} has too many fields: one cell holds a delimiter and is not quoted.",
        "{count} rows have too many fields: in each one cell holds a delimiter and is not quoted; the first is on line {line}.",
    ),
    "other-delimiter": (
        "The row on line {line} is written with {other}.",
        "{count} rows are written with {other}, the first on line {line}.",
    ),
    "other-delimiter+block": (
        "The row on line {line} is written with {other}.",
        "Every row from line {line} to {last} is written with {other}.",
    ),
    "bad-encoding": (
        "Line {line} holds bytes that are no letters in the encoding of the file.",
        "{count} rows hold bytes that are no letters in the encoding of the file, the first on line {line}.",
    ),
    "bad-encoding+encoding": (
        "Line {line} is written in Windows-1252, the file in UTF-8.",
        "{count} rows are written in Windows-1252, the others in UTF-8; the first is on line {line}.",
    ),
    "bad-encoding+encoding+block": (
        "Line {line} is written in Windows-1252, the file in UTF-8.",
        "The file is Windows-1252 from line {line} on, before it UTF-8.",
    ),
    "encoding-guessed": ("Line {line} is read in an encoding for which there is little evidence.", ""),
    "bom-in-middle": (
        "Two files were joined at line {line}: a byte order mark stands there.",
        "{count} byte order marks stand in the middle: files were joined, the first time at line {line}.",
    ),
    "nul-byte": (
        "Line {line} holds a NUL byte.",
        "{count} rows hold NUL bytes, the first on line {line}.",
    ),
    "control-z": (
        "Line {line} holds the control character 0x1A.",
        "{count} lines hold the control character 0x1A, the first is line {line}.",
    ),
    "mixed-newlines": (
        "Lines end in more than one way, from line {line} on.",
        "Lines end in more than one way, from line {line} on.",
    ),
    "lone-cr": (
        "A carriage return by itself stands on line {line}.",
        "{count} carriage returns stand by themselves, the first on line {line}.",
    ),
    "blank-line": ("Line {line} is blank.", "{count} lines are blank, the first is line {line}."),
    "preamble": ("Line {line} stands above the header.", "{count} lines stand above the header."),
    "footer": (
        "Line {line} is a footer below the table.",
        "{count} lines below the table are no rows, from line {line} on.",
    ),
    "footer-maybe": ("Line {line} begins like a line of sums; it is kept as a row.", ""),
    "repeated-header": (
        "Line {line} repeats the header: two files were joined.",
        "{count} lines repeat the header: files were joined; the first is line {line}.",
    ),
    "trailing-delimiter": ("Every row ends in a surplus delimiter.", "Every row ends in a surplus delimiter."),
    "one-column-maybe": ("Everything stands in one column, but the lines look like several, or like no table.", ""),
    "truncated": ("The file stops in the middle of line {line}: it was cut short.", ""),
}


def say_cause(code: str, slug: str, *, block: bool, count: int, about: bool, words: dict[str, object]) -> str:
    """Give the sentence for a cause; "" where the findings' own words serve. `about`: the count is reckoned from samples."""
    keys = [f"{code}+{slug}+block", f"{code}+block"] if block else []
    for key in (*keys, f"{code}+{slug}", code):
        if key in CAUSES:
            one, many = CAUSES[key]
            text = one if count == 1 or not many else many
            return text.format(**words, count=f"About {count:,}" if about else f"{count:,}")
    return ""
