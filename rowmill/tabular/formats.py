"""A number of a sheet as its cell shows it: what its format means for the text that goes on."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import ROUND_HALF_UP, Decimal
from math import isfinite

from rowmill.tabular.moments import Moment, show_date, show_duration, show_moment, show_time

Show = Callable[[str], str]

CANONICAL = re.compile(r"(?:0|-?[1-9]\d*)(?:\.\d*[1-9])?", re.A)
CANONICAL_WHOLE = re.compile(r"0|[1-9]\d{0,14}", re.A)
NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d{1,3})?", re.A)
# Excel keeps 15 digits of a number; what has more has been rounded, or will be when the file is saved there.
EXACT = 10**15

_TOKEN = re.compile(
    r'"(?P<quoted>[^"]*)"?|\\(?P<escaped>.)|_.|\*.|\[(?P<bracket>[^\]]*)\]?|(?P<general>general)'
    r"|(?P<half>AM/PM|A/P)|(?P<exponent>E[+-])|(?P<date>y+|m+|d+|h+|s+|b+|g+|e+)"
    r"|(?P<digit>[0#?])|(?P<point>[.])|(?P<sign>[,%@/])|(?P<other>.)",
    re.I | re.S,
)
_CONDITION = re.compile(r"(<=|>=|<>|<|>|=)\s*(-?\d+(?:\.\d+)?)")
_ELAPSED = re.compile(r"h+|m+|s+", re.I)
_CURRENCY = re.compile(
    r"\s*(?:[$\u20ac\u00a3\u00a5\u20b9\u20a9\u20bd\u20aa]|[A-Z]{2,3}\$|(?:CHF|USD|EUR|GBP|CAD|AUD|JPY|CNY|INR|SEK|NOK|DKK))\s*"
)
_BUILT_IN_DATES = frozenset((14, 15, 16, 17, *range(27, 32), 36, *range(50, 55), 57, 58, *range(71, 75), 77))
_BUILT_IN_TIMES = frozenset((18, 19, 20, 21, 32, 33, 34, 35, 55, 56, 75, 76, 78))
_BUILT_IN_MOMENTS = frozenset((22, 81))
_BUILT_IN_DURATIONS = frozenset((45, 46, 47, 79, 80))


class OutOfCalendar(Exception):
    """A number that no date of Excel's calendar stands for."""


@dataclass(slots=True)
class Section:
    """One part of a format code, between semicolons: its placeholders and literals, and when it counts."""

    tokens: list[tuple[str, str]] = field(default_factory=list)
    condition: tuple[str, Decimal] | None = None
    moment: Moment | None = None

    def holds(self, value: Decimal) -> bool:
        """Tell whether the section's own condition is met."""
        assert self.condition is not None
        sign, bound = self.condition
        return {
            "<": value < bound,
            "<=": value <= bound,
            ">": value > bound,
            ">=": value >= bound,
            "=": value == bound,
            "<>": value != bound,
        }[sign]


def show_plain(text: str) -> str:
    """Give a number as Excel's General does: 15 digits, no noise behind them, no `.0`. Raises: ValueError.

    Of a whole number with more digits all that the file holds are given.
    """
    if len(text) <= 15 and CANONICAL.fullmatch(text):
        return text
    if not NUMBER.fullmatch(text):
        raise ValueError
    value = Decimal(text)
    if value == value.to_integral_value() and EXACT <= abs(value) < 10**21:
        return format(value.to_integral_value(), "f")
    if value.is_zero():
        return "0"
    shown = to_15_digits(text)
    if Decimal("1e-9") <= abs(shown) < 10**21:
        plain = format(shown, "f")
        return plain.rstrip("0").rstrip(".") if "." in plain else plain
    digits, _, exponent = format(shown.normalize(), "E").partition("E")
    return f"{digits}E{int(exponent):+03d}"


def to_15_digits(text: str) -> Decimal:
    """Round to what Excel keeps. Raises: ValueError."""
    if not NUMBER.fullmatch(text):
        raise ValueError
    value = float(text)
    if not isfinite(value):
        raise ValueError
    return Decimal(format(value, ".15g"))


def make_show(number: int, code: str | None, from_1904: bool) -> Show:
    """Give what shows a number in a format: built in (no code) or the workbook's own.

    The result raises ValueError for what is no number, OutOfCalendar for a date that is none.
    """
    moment = moment_of(number, code)
    if moment is not None:
        return _moment_shower(moment, from_1904)
    sections = _split(code) if code is not None else []
    if code and len(code) > 1 and set(code) == {"0"}:
        # The commonest pattern of all, zeros only: filled up without a look at sections.
        return lambda text: (
            text.zfill(len(code)) if CANONICAL_WHOLE.fullmatch(text) else _show_in_section(text, sections)
        )
    if any(_is_mask(section) for section in sections):
        return lambda text: _show_in_section(text, sections)
    return show_plain


def moment_of(number: int, code: str | None) -> Moment | None:
    """Tell what a format shows of a date and time; None for a format of numbers."""
    return _built_in(number) if code is None else _split(code)[0].moment


def _built_in(number: int) -> Moment | None:
    """Tell which of the numbered formats are dates and times."""
    if number in _BUILT_IN_DATES:
        return Moment(date=True)
    if number in _BUILT_IN_TIMES:
        return Moment(time=True)
    if number in _BUILT_IN_MOMENTS:
        return Moment(date=True, time=True)
    return Moment(elapsed=True) if number in _BUILT_IN_DURATIONS else None


def _moment_shower(moment: Moment, from_1904: bool) -> Show:
    """Give what shows days counted by Excel. The calendar ends with the year 9999."""
    end = 2_957_004 if from_1904 else 2_958_466

    def show(text: str) -> str:
        days = to_15_digits(text)
        if abs(days) >= end or (days < 0 and not moment.elapsed):
            raise OutOfCalendar
        if moment.elapsed:
            return show_duration(days, moment)
        if moment.date and moment.time:
            return show_moment(days, moment, from_1904)
        return show_date(days, from_1904) if moment.date else show_time(days, moment)

    return show


# ------------------------------------------------------------------------------------------------ reading a code


def _split(code: str) -> list[Section]:
    """Take a format code apart into its sections."""
    sections = [Section()]
    for match in _TOKEN.finditer(code):
        kind, text = match.lastgroup or "", match.group()
        if kind == "other" and text == ";":
            sections.append(Section())
        elif kind == "bracket":
            _read_bracket(sections[-1], match.group("bracket"))
        elif kind in ("quoted", "escaped", "other"):
            sections[-1].tokens.append(("literal", match.group(kind)))
        elif kind:
            sections[-1].tokens.append((kind, text.lower() if kind != "exponent" else text))
    for section in sections:
        section.moment = _find_moment(section)
    return sections


def _read_bracket(section: Section, inside: str) -> None:
    """Read [h], [<=100], [$USD-409]; colours and locales mean nothing here."""
    if inside and _ELAPSED.fullmatch(inside):
        section.tokens.append(("elapsed", inside.lower()))
    elif found := _CONDITION.fullmatch(inside):
        section.condition = found.group(1), Decimal(found.group(2))
    elif inside.startswith("$") and (symbol := inside[1:].partition("-")[0]):
        section.tokens.append(("currency", symbol))


def _find_moment(section: Section) -> Moment | None:
    """Tell which parts of a date and time a section shows; None for numbers."""
    if any(kind == "general" for kind, _ in section.tokens):
        return None
    parts = [(k, t) for k, t in section.tokens if k in ("date", "elapsed", "half")]
    if not any(k != "half" for k, _ in parts) or not any(t[0] in "ymdhs" for _, t in parts):
        return None
    moment = Moment(elapsed=any(k == "elapsed" for k, _ in parts), decimals=_decimals(section))
    for i, (kind, text) in enumerate(parts):
        minutes = text[0] == "m" and (
            (i > 0 and parts[i - 1][1][0] == "h") or (i + 1 < len(parts) and parts[i + 1][1][0] == "s")
        )
        if kind == "half" or text[0] in "hs" or minutes:
            moment.time = True
        else:
            moment.date = True
    return moment


def _decimals(section: Section) -> int:
    """Count the digits that a section shows behind the seconds."""
    kinds = [kind for kind, _ in section.tokens]
    return len(kinds[kinds.index("point") :]) - 1 if "point" in kinds and kinds[-1] == "digit" else 0


def _is_mask(section: Section) -> bool:
    """Tell a pattern of digits (ZIP, SSN, phone, padded number) from a number's decoration."""
    kinds = [kind for kind, _ in section.tokens]
    barred = {"point", "sign", "exponent", "general", "currency", "date", "elapsed"}
    places = [i for i, (kind, _) in enumerate(section.tokens) if kind == "digit"]
    if not places or barred & set(kinds) or any(text == "?" for _, text in section.tokens):
        return False
    first_zero = next((n for n, i in enumerate(places) if section.tokens[i][1] == "0"), len(places))
    if len(places) - first_zero >= 2:
        return True
    within = "".join(t for k, t in section.tokens[places[0] : places[-1]] if k == "literal")
    before = "".join(t for k, t in section.tokens[: places[0]] if k == "literal")
    return bool(within.strip(" \u00a0\u202f'\u2019")) or (
        any(sign.isalnum() for sign in before) and not _CURRENCY.fullmatch(before)
    )


def _show_in_section(text: str, sections: list[Section]) -> str:
    """Show a number in the section that holds for it."""
    value = to_15_digits(text)
    chosen, signed = _choose(sections, value)
    if not _is_mask(chosen):
        return show_plain(text)
    if abs(value) >= EXACT:
        value = Decimal(text)
    shown = _fill(chosen, value)
    return f"-{shown}" if signed and value < 0 else shown


def _choose(sections: list[Section], value: Decimal) -> tuple[Section, bool]:
    """Give the section for a number, and whether a minus sign is its own to write."""
    numeric = sections[:3] if len(sections) > 3 else sections
    if any(section.condition for section in numeric):
        for section in numeric:
            if section.condition is None or section.holds(value):
                return section, True
        return numeric[-1], True
    if value < 0 and len(numeric) > 1:
        return numeric[1], False
    if value == 0 and len(numeric) > 2:
        return numeric[2], False
    return numeric[0], True


def _fill(section: Section, value: Decimal) -> str:
    """Put the digits into their places, from the right; what is left over goes before the first place."""
    whole = int(abs(value).quantize(Decimal(1), ROUND_HALF_UP)) if abs(value) < 10**21 else int(abs(value))
    digits = list(str(whole)) if whole else []
    places = [i for i, (kind, _) in enumerate(section.tokens) if kind == "digit"]
    first_zero = next((i for i in places if section.tokens[i][1] == "0"), len(section.tokens))
    shown: list[str] = []
    for i in range(len(section.tokens) - 1, -1, -1):
        kind, text = section.tokens[i]
        if kind == "literal":
            shown.append(text)
        elif kind == "digit":
            shown.append(digits.pop() if digits else "0" if i >= first_zero else "")
            if i == places[0]:
                shown.append("".join(digits))
    return "".join(reversed(shown))
