"""The contacts of an org as a list: searched, filtered, sorted, a page at a time from where the last one ended."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from django.db import OperationalError, connection, transaction
from django.db.models import Expression, F, QuerySet, TextField

from rowmill.contacts.words import VALUES, Condition, find_words
from rowmill.errors import ConfigError, InputError
from rowmill.models import Contact, Job
from rowmill.orgs import Caller, fetch, org_sealer, own
from rowmill.tables.counting import Total, allow_memory, count_rows, limit_time

SORTS = {"name": "last_name", "company": "company", "added": ""}
SORT_WORDS = tuple(sign + name for name in SORTS for sign in ("", "-"))
EMAIL_WORDS = ("", "with", "without")
PAGE_ROWS, MOST_ROWS = 50, 200
MOST_SEARCH = 200
SAMPLED_ROWS = 2_000
STRETCH_ROWS = 2_000
WALK_MILLISECONDS = 300
_KEY_CHARACTERS = 60


@dataclass(frozen=True, slots=True)
class Ask:
    """What a person wants to see. `values`: whole values by field; `job`: the public id of the import that brought them."""

    search: str = ""
    values: Mapping[str, str] = field(default_factory=dict)
    email: str = ""
    job: str = ""
    sort: str = "name"

    @property
    def narrowed(self) -> bool:
        """Tell whether anything is left out."""
        return bool(self.search or self.values or self.email or self.job)


@dataclass(frozen=True, slots=True)
class ContactPage:
    """A page of contacts. `first`: the place of its first row, 1-based. `next`, `previous`: sealed places, "" at an end."""

    rows: tuple[Contact, ...]
    total: Total
    first: int
    next: str
    previous: str


@dataclass(frozen=True, slots=True)
class _Place:
    """Between two rows: the key and id of the one that was seen last, whither, how many rows stand before."""

    key: str
    id: int
    back: bool
    before: int
    total: Total


class SortKey(Expression):
    """The beginning of a text in small letters, written exactly as the index has it: SQLite knows it by its letters.

    `few`: rather sort what was found than walk the index and throw most away; the database guesses badly how much that is.
    """

    def __init__(self, name: str, few: bool = False) -> None:
        super().__init__(output_field=TextField())
        cut = f"LEFT(LOWER({name}), {{}})" if connection.vendor == "postgresql" else f"SUBSTR(LOWER({name}), 1, {{}})"
        self.sql = cut.format(_KEY_CHARACTERS) + (" || ''" if few else "")

    def as_sql(self, compiler: Any, connection: Any) -> tuple[str, tuple[str | int, ...]]:
        """Give it as it is."""
        return self.sql, ()


def read_ask(data: Mapping[str, Any]) -> Ask:
    """Read what a form or a body asks for. Raises: InputError bad_option."""
    ask = Ask(
        search=str(data.get("search") or "").strip()[:MOST_SEARCH],
        values={name: str(data[name]).strip() for name in VALUES if str(data.get(name) or "").strip()},
        email=str(data.get("email") or ""),
        job=str(data.get("import") or ""),
        sort=str(data.get("sort") or "name"),
    )
    if ask.sort not in SORT_WORDS:
        raise InputError(f"sort takes one of: {', '.join(SORT_WORDS)}.", code="bad_option", field="sort")
    if ask.email not in EMAIL_WORDS:
        raise InputError("email takes with, without, or nothing.", code="bad_option", field="email")
    return ask


def find_contacts(caller: Caller, ask: Ask) -> QuerySet[Contact]:
    """Give the contacts asked for, in no order. Raises: NotFound for an import of nobody or of another org."""
    found = own(caller, Contact)
    if ask.job:
        found = found.filter(created_job=fetch(caller, own(caller, Job), ask.job))
    if ask.email == "with":
        found = found.exclude(email="")
    conditions = find_words(caller.org.pk, ask.search, ask.values, without_email=ask.email == "without")
    return found.filter(*conditions)


def list_contacts(
    caller: Caller, ask: Ask, *, cursor: str = "", size: int = PAGE_ROWS, columns: Sequence[str] | None = None
) -> ContactPage:
    """Give a page: from the beginning, or from where `cursor` says.

    Rows that are there from the first page to the last are each shown once, whatever is added or removed meanwhile.
    Raises: InputError bad_cursor, NotFound. Cost: an index read of the page; the count has its own limits.
    """
    found = find_contacts(caller, ask)
    place = _open_place(caller, ask, cursor) if cursor else None
    total = place.total if place is not None else count_rows(found, guessed=bool(ask.search))
    if not total.number and total.word == "exact":
        return ContactPage((), total, 1, "", "")
    back = place is not None and place.back
    read = _read_page(found, ask, place, total, size, columns)
    shown, more = read[:size], len(read) > size
    before = 0 if place is None else max(0, place.before - len(shown)) if back else place.before
    if back:
        shown.reverse()
    elif not more:
        total = Total(before + len(shown), "exact")
    return ContactPage(
        rows=tuple(shown),
        total=total,
        first=before + 1,
        next=_seal_end(caller, ask, shown, before + len(shown), total) if shown and (more or back) else "",
        previous=_seal_start(caller, ask, shown, before, total) if shown and (more if back else place) else "",
    )


def _read_page(
    found: QuerySet[Contact], ask: Ask, place: _Place | None, total: Total, size: int, columns: Sequence[str] | None
) -> list[Contact]:
    """Read a page and one row more, by a walk along the index of its order or, where that goes on for long, by a sort.

    A walk is short where many rows fit; but they may all stand at the far end, as the names with O' do.
    """

    def read(few: bool) -> list[Contact]:
        rows = _sort(found, ask, place, few=few)
        return list((rows if columns is None else rows.only("id", *columns))[: size + 1])

    if not ask.narrowed or connection.vendor != "postgresql":
        return read(few=total.word == "exact" and ask.narrowed)
    with transaction.atomic():
        if total.word != "exact":
            try:
                with transaction.atomic(), limit_time(WALK_MILLISECONDS):
                    return read(few=False)
            except OperationalError:
                pass
        allow_memory()
        return read(few=True)


def iter_contacts(caller: Caller, ask: Ask, columns: Sequence[str]) -> Iterator[tuple[Any, ...]]:
    """Give these columns of all contacts found, oldest first, as they are when their turn comes; what was deleted
    meanwhile is left out.

    Cost: short reads, and no transaction stays open between them; where not everything is asked for, one search for
    their numbers before, 8 bytes each.
    """
    for stretch in _stretches(caller, ask):
        yield from list(stretch.order_by("id").values_list(*columns))


def _stretches(caller: Caller, ask: Ask) -> Iterator[QuerySet[Contact]]:
    """Give what was found at the beginning, some rows at a time."""
    everybody = own(caller, Contact)
    if not ask.narrowed:
        newest = everybody.order_by("-id").values_list("id", flat=True).first() or 0
        last = 0
        while last < newest:
            rest = everybody.filter(pk__gt=last, pk__lte=newest).order_by("id").values_list("id", flat=True)
            end = rest[STRETCH_ROWS - 1 : STRETCH_ROWS].first() or newest
            yield everybody.filter(pk__gt=last, pk__lte=end)
            last = end
        return
    with transaction.atomic():
        allow_memory()
        numbers = find_contacts(caller, ask).order_by("id").values_list("id", flat=True)
        ids = array("q", numbers.iterator(chunk_size=10 * STRETCH_ROWS))
    for start in range(0, len(ids), STRETCH_ROWS):
        yield everybody.filter(pk__in=ids[start : start + STRETCH_ROWS].tolist())


def _sort(found: QuerySet[Contact], ask: Ask, place: _Place | None, *, few: bool) -> QuerySet[Contact]:
    """Put the rows after a place into their order; what comes after it is one comparison that an index answers."""
    name, descending = SORTS[ask.sort.lstrip("-")], ask.sort.startswith("-")
    if place is not None:
        descending = descending != place.back
    sign, after = ("-", "<") if descending else ("", ">")
    if not name:
        found = found.annotate(sort_id=F("id") + 0) if few else found.annotate(sort_id=F("id"))
        found = found if place is None else found.filter(Condition(f"id {after} %s", place.id))
        return found.order_by(f"{sign}sort_id")
    key = SortKey(name, few)
    if place is not None:
        found = found.filter(Condition(f"({key.sql}, id) {after} (%s, %s)", place.key, place.id))
    return found.annotate(sort_key=key).order_by(f"{sign}sort_key", f"{sign}id")


def sample_values(caller: Caller) -> dict[str, list[str]]:
    """Give values to choose from: those of some of the org's contacts, so one that is rare may not be among them."""
    found: dict[str, set[str]] = {name: set() for name in VALUES}
    some = own(caller, Contact).annotate(sort_key=SortKey("company")).order_by("sort_key", "id")
    for row in some.values_list(*VALUES)[:SAMPLED_ROWS]:
        for name, value in zip(VALUES, row, strict=True):
            found[name].add(value)
    return {name: sorted(values - {""}, key=str.lower)[:50] for name, values in found.items()}


# ------------------------------------------------------------------------------------------------ places


def _seal_end(caller: Caller, ask: Ask, rows: Sequence[Contact], before: int, total: Total) -> str:
    """Give the place after the last row of a page."""
    return _seal_place(caller, ask, _Place(_key_of(rows[-1]), rows[-1].pk, False, before, total))


def _seal_start(caller: Caller, ask: Ask, rows: Sequence[Contact], before: int, total: Total) -> str:
    """Give the place before the first row of a page."""
    return _seal_place(caller, ask, _Place(_key_of(rows[0]), rows[0].pk, True, before, total))


def _key_of(contact: Contact) -> str:
    """Give the key that a row was sorted by."""
    return getattr(contact, "sort_key", "")


def seal_ask(caller: Caller, ask: Ask) -> str:
    """Seal what was asked for: it names people, so neither an address nor a session shows it."""
    return _seal(caller, "ask", asdict(ask))


def open_ask(caller: Caller, sealed: str) -> Ask:
    """Open what `seal_ask` sealed. Raises: InputError bad_cursor."""
    return Ask(**_open(caller, "ask", sealed))


def _seal_place(caller: Caller, ask: Ask, place: _Place) -> str:
    """Seal a place: its key is a cell."""
    return _seal(caller, "place", {**asdict(place), "ask": _digest(ask)})


def _open_place(caller: Caller, ask: Ask, sealed: str) -> _Place:
    """Open a place. Raises: InputError bad_cursor, also for one of another search."""
    data = _open(caller, "place", sealed)
    if data.pop("ask") != _digest(ask):
        raise InputError("This cursor belongs to another search, filter or order.", code="bad_cursor", field="cursor")
    return _Place(**{**data, "total": Total(**data["total"])})


def _digest(ask: Ask) -> str:
    """Tell one search from another."""
    return hashlib.sha256(json.dumps(asdict(ask), sort_keys=True).encode()).hexdigest()[:16]


def _seal(caller: Caller, what: str, data: Mapping[str, Any]) -> str:
    """Seal with the org's key, for an address or a hidden field."""
    plain = json.dumps(data, separators=(",", ":")).encode()
    sealed = org_sealer(caller.org.pk).seal(plain, f"contacts|{what}|{caller.org.public_id}")
    return base64.urlsafe_b64encode(sealed).decode().rstrip("=")


def _open(caller: Caller, what: str, sealed: str) -> dict[str, Any]:
    """Open what was sealed for the same org and purpose. Raises: InputError bad_cursor."""
    try:
        body = base64.b64decode(sealed + "=" * (-len(sealed) % 4), altchars=b"-_", validate=True)
        found: dict[str, Any] = json.loads(
            org_sealer(caller.org.pk).open(body, f"contacts|{what}|{caller.org.public_id}")
        )
    except (ConfigError, ValueError, binascii.Error):
        raise InputError(
            "This is not a cursor of this list. Begin at its start.", code="bad_cursor", field="cursor"
        ) from None
    return found
