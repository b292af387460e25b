"""Holds back the guessing of passwords: a count of wrong sign-ins that cannot be raced."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from math import ceil

from django.db import connection, transaction
from django.db.models import F
from django.utils import timezone

from rowmill.errors import RowmillError
from rowmill.models import AttemptCount

WINDOW_SECONDS = 300

_TAKE = """
INSERT INTO rowmill_attemptcount (key, count, until) VALUES (%s, 1, %s)
ON CONFLICT (key) DO UPDATE SET
  count = CASE WHEN rowmill_attemptcount.until <= %s THEN 1 ELSE rowmill_attemptcount.count + 1 END,
  until = CASE WHEN rowmill_attemptcount.until <= %s THEN excluded.until ELSE rowmill_attemptcount.until END
RETURNING count, until
"""


class TooManyAttempts(RowmillError):
    """There were too many wrong sign-ins; wait a few minutes, then try again."""

    code = "too_many_attempts"


class WrongAttempt(Exception):
    """Raised inside `limited` to say that the attempt was wrong and stays counted."""


@dataclass(frozen=True, slots=True)
class Limit:
    """At most `most` attempts in a window for one thing, such as an address. `words` are hashed, never stored."""

    words: tuple[str, ...]
    most: int

    @property
    def key(self) -> str:
        """Give the hash under which it is counted."""
        return hashlib.sha256("\0".join(self.words).encode()).hexdigest()


def sign_in_limits(email: str, address: str) -> tuple[Limit, ...]:
    """Give the limits of one sign-in: by person and address tightly, by each alone loosely.

    The loose ones stop guesses spread over many addresses or many people, and keep a stranger from locking
    somebody out with five wrong passwords.
    """
    email = email.strip().lower()
    return (
        Limit(("sign-in", email, address), 5),
        Limit(("sign-in-email", email), 50),
        Limit(("sign-in-address", address), 50),
    )


def take_attempt(limits: Iterable[Limit], now: datetime | None = None) -> None:
    """Count an attempt before it is made, so that parallel guesses cannot slip under a limit.

    Raises: TooManyAttempts with details["retry_after_seconds"].
    Cost: one UPSERT for each limit, in one short transaction.
    """
    now = now or timezone.now()
    until = now + timedelta(seconds=WINDOW_SECONDS)
    wait = 0.0
    with transaction.atomic(), connection.cursor() as cursor:
        field = AttemptCount._meta.get_field("until")
        as_stored = [field.get_db_prep_value(at, connection) for at in (until, now, now)]
        for limit in limits:
            cursor.execute(_TAKE, [limit.key, *as_stored])
            count, ends = cursor.fetchone()
            if count > limit.most:
                wait = max(wait, (_read_time(ends) - now).total_seconds(), 1.0)
    if wait:
        AttemptCount.objects.filter(until__lt=now).delete()
        raise TooManyAttempts(retry_after_seconds=ceil(wait))


def give_back(limits: Iterable[Limit]) -> None:
    """Take a right attempt out of the counts again."""
    keys = [limit.key for limit in limits]
    AttemptCount.objects.filter(key__in=keys, count__gt=0).update(count=F("count") - 1)


@contextmanager
def limited(limits: tuple[Limit, ...]) -> Iterator[None]:
    """Count what goes wrong inside. Raises: TooManyAttempts before anything inside runs."""
    take_attempt(limits)
    try:
        yield
    except WrongAttempt:
        raise
    except BaseException:
        give_back(limits)
        raise
    give_back(limits)


def _read_time(value: datetime | str) -> datetime:
    """Read a time as the database's driver gives it: SQLite gives text without a zone, in UTC."""
    when = datetime.fromisoformat(value) if isinstance(value, str) else value
    return when if timezone.is_aware(when) else when.replace(tzinfo=UTC)
