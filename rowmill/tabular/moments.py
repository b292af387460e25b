"""Excel's days as dates and times of ISO 8601: 1900 with its leap day that never was, 1904, durations."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import ROUND_FLOOR, ROUND_HALF_UP, Decimal

_DAY = Decimal(86_400)


@dataclass(slots=True)
class Moment:
    """Which parts of a date and time a format shows, and how many digits behind the seconds."""

    date: bool = False
    time: bool = False
    elapsed: bool = False
    decimals: int = 0


def show_date(days: Decimal, from_1904: bool) -> str:
    """Give the date of a number of days, as Excel shows it.

    Day 60 of 1900 is 1900-02-29, day 0 is 1900-01-00: no dates, and no other is put in their place.
    """
    whole = int(days.to_integral_value(ROUND_FLOOR))
    if from_1904:
        return (date(1904, 1, 1) + timedelta(days=whole)).isoformat()
    if whole == 0:
        return "1900-01-00"
    if whole == 60:
        return "1900-02-29"
    return (date(1899, 12, 31 if whole < 60 else 30) + timedelta(days=whole)).isoformat()


def show_time(days: Decimal, moment: Moment) -> str:
    """Give the time of day."""
    ticks = _ticks(days % 1, moment) % (86_400 * 10**moment.decimals)
    return _clock(ticks, moment)


def show_moment(days: Decimal, moment: Moment, from_1904: bool) -> str:
    """Give date and time; a time of the zeroth day, which has no date, alone."""
    per_day = 86_400 * 10**moment.decimals
    whole, ticks = divmod(_ticks(days, moment), per_day)
    clock = _clock(ticks, moment)
    if whole == 0 and not from_1904:
        return clock
    return f"{show_date(Decimal(whole), from_1904)} {clock}"


def show_duration(days: Decimal, moment: Moment) -> str:
    """Give hours, minutes and seconds; the hours go on beyond 24."""
    ticks = _ticks(abs(days), moment)
    return ("-" if days < 0 and ticks else "") + _clock(ticks, moment)


def _ticks(days: Decimal, moment: Moment) -> int:
    """Give the smallest units that are shown."""
    return int((days * _DAY * 10**moment.decimals).quantize(Decimal(1), ROUND_HALF_UP))


def _clock(ticks: int, moment: Moment) -> str:
    """Write hours, minutes, seconds."""
    seconds, fraction = divmod(ticks, 10**moment.decimals)
    clock = f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"
    return f"{clock}.{fraction:0{moment.decimals}d}" if moment.decimals and fraction else clock


def show_iso(text: str, moment: Moment | None) -> str:
    """Give a date that the file holds as ISO text, in the parts that its format shows; a bare time stays one.

    Raises: ValueError for what is none.
    """
    text = text.removesuffix("Z")
    if "T" not in text and ":" in text:
        return text.partition(".")[0]
    found = datetime.fromisoformat(text)
    if moment is None:
        return found.date().isoformat() if "T" not in text else found.isoformat(" ", "seconds")
    if moment.date and moment.time:
        return found.isoformat(" ", "seconds")
    return found.date().isoformat() if moment.date else found.time().isoformat("seconds")
