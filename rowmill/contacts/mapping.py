"""Which column of a file is which field: by name, by alias, by likeness; as a person set it; remembered for the next file."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import duckdb
from django.conf import settings
from django.db import transaction
from django.utils import timezone

from rowmill import audit
from rowmill.contracts import Column
from rowmill.errors import InputError, StateError
from rowmill.jobs.imports import need_key
from rowmill.merging.effects import forget_effects
from rowmill.merging.room import open_room
from rowmill.models import ColumnMapping, Upload, UploadState
from rowmill.orgs import Caller
from rowmill.registry import get_kind
from rowmill.tabular.header import fold, fold_bare, known_spellings
from rowmill.tabular.load import quote_text
from rowmill.tabular.rows import name_columns
from rowmill.uploads.places import hold_table
from rowmill.uploads.remembered import find_remembered, hash_header

How = Literal["name", "alias", "likeness", "remembered", "hand", ""]
LIKE_ENOUGH = 0.82
_SAMPLES, _SAMPLE_CHARACTERS = 3, 80
_AT_ONCE = 200  # columns: DuckDB takes memory for each, however few the rows
MOST_COUNTED = 100_000
STRETCHES = 5


@dataclass(frozen=True, slots=True)
class Match:
    """What one column of the file is taken for. Units: `place` 1-based; `confidence` 0 to 1.

    `field` is "" for a column that no field is taken for: it is kept as extra, or not imported where `ignored`.
    `filled` is the share of rows with something in it; `samples` are a few cells, for those who may see the file.
    """

    place: int
    header: str
    field: str = ""
    how: How = ""
    confidence: float = 0.0
    ignored: bool = False
    filled: float | None = None
    samples: tuple[str, ...] = ()


def match_columns(header: Sequence[str], columns: Sequence[Column]) -> list[Match]:
    """Match each column of a file to at most one field: by exact name, then by alias, then by likeness.

    A zone or a currency in brackets behind a name is looked over where it is no name with them.
    """
    names, folded = name_columns(header), [fold(cell) for cell in header]
    known = known_spellings(columns)
    bare = ["" if said in known else fold_bare(cell) for said, cell in zip(folded, header, strict=True)]
    found: dict[int, tuple[str, How, float]] = {}
    taken: set[str] = set()
    for column in columns:
        spellings = [fold(spelling) for spelling in (column.name, *column.aliases)]
        for n, said, cells in [
            (n, said, cells) for cells in (folded, bare) for n, said in enumerate(spellings) if said
        ]:
            places = [i for i, cell in enumerate(cells, 1) if cell == said and i not in found]
            if places:
                found[places[0]] = (column.name, "alias" if n else "name", 0.95 if n else 1.0)
                taken.add(column.name)
                break
    for place, name, likeness in _likely(folded, columns, set(found), taken):
        if place not in found and name not in taken:
            found[place] = (name, "likeness", round(likeness, 2))
            taken.add(name)
    return [Match(place, name, *found.get(place, ("", "", 0.0))) for place, name in enumerate(names, 1)]


def _likely(
    folded: Sequence[str], columns: Sequence[Column], mapped: Collection[int], taken: Collection[str]
) -> list[tuple[int, str, float]]:
    """Give what is alike, best first. Shape: (place, field, likeness)."""
    spellings = [(fold(s), c.name) for c in columns if c.name not in taken for s in (c.name, *c.aliases)]
    found = []
    for place, cell in enumerate(folded, 1):
        if place in mapped or len(cell) < 4:
            continue
        for spelling, name in spellings:
            if 2 * min(len(cell), len(spelling)) < LIKE_ENOUGH * (len(cell) + len(spelling)):
                continue  # no two texts of these lengths are; the look at their letters takes a hundred times as long
            matcher = difflib.SequenceMatcher(None, cell, spelling)
            if matcher.quick_ratio() >= LIKE_ENOUGH and (ratio := matcher.ratio()) >= LIKE_ENOUGH:
                found.append((place, name, ratio))
    return sorted(found, key=lambda one: (-one[2], one[0], one[1]))


def suggest_mapping(upload: Upload) -> list[Match]:
    """Give the mapping of an upload: as the org left it for this header, else as it is found. Not saved."""
    matches = match_columns(upload.header, get_kind(upload.kind).columns)
    kept = find_remembered(upload, upload.header)
    if kept is None:
        return matches
    return _with(matches, kept.mapping, kept.ignored, "remembered")


def current_mapping(upload: Upload) -> list[Match]:
    """Give the mapping that an import of the upload would use, with how each came about."""
    matches = match_columns(upload.header, get_kind(upload.kind).columns)
    by_place = {match.place: match for match in matches}
    how: How = "remembered" if find_remembered(upload, upload.header) is not None else "hand"
    told = _with(matches, upload.mapping, _ignored(upload), how)
    # What is only alike was set by somebody: by itself it is never in force.
    plain = {place: match for place, match in by_place.items() if match.how in ("name", "alias")}
    return [plain[m.place] if m.place in plain and plain[m.place].field == m.field else m for m in told]


def propose_mapping(upload: Upload) -> list[Match]:
    """Give the mapping to show: the one in force and, while nobody has set any, also what is alike. Not saved."""
    found_it = dict(upload.mapping) == dict(upload.inspection.get("mapping") or {})
    nobody = found_it and not _ignored(upload) and find_remembered(upload, upload.header) is None
    return suggest_mapping(upload) if nobody else current_mapping(upload)


def _with(matches: Sequence[Match], mapping: Mapping[str, int], ignored: Collection[int], how: How) -> list[Match]:
    """Give the columns of a file under a given mapping."""
    fields = {place: name for name, place in mapping.items()}
    return [
        Match(
            match.place,
            match.header,
            fields.get(match.place, ""),
            how if match.place in fields else "",
            1.0 if match.place in fields else 0.0,
            match.place in ignored and match.place not in fields,
        )
        for match in matches
    ]


def save_mapping(
    caller: Caller, upload: Upload, mapping: Mapping[str, int], ignored: Collection[int] = (), *, remember: bool = True
) -> list[Match]:
    """Set which columns of a READY upload are which fields, before its job is made; remember it for the org.

    `mapping`: field -> place, 1-based; `ignored`: places that are not imported, neither as extra.
    Raises: NotAllowed; StateError once a job uses the upload; InputError bad_mapping.
    """
    caller.need_write()
    ignored = sorted(set(ignored) - set(mapping.values()))
    _check(upload, mapping, ignored)
    with transaction.atomic():
        held = Upload.objects.select_for_update(no_key=True).get(pk=upload.pk)
        if held.state != UploadState.READY or held.jobs.exists():
            raise StateError("The columns of this file cannot be changed any more: a job uses it, or it is not ready.")
        held.mapping = dict(mapping)
        # Who says which column is which wants to see what comes of it: nothing starts by itself from here on.
        held.intent = {**(held.intent or {}), "review": True, "ignored": sorted(ignored)}
        held.save(update_fields=["mapping", "intent"])
        forget_effects(held)
        if remember:
            ColumnMapping.objects.update_or_create(
                org=caller.org,
                kind=held.kind,
                header_hash=hash_header(held.header),
                defaults={
                    "mapping": dict(mapping),
                    "ignored": sorted(ignored),
                    "saved_by": caller.user,
                    "saved_at": timezone.now(),
                },
            )
        audit.record(caller.org, caller.user, "upload.mapping", "upload", held.public_id, columns=len(mapping))
    upload.refresh_from_db()
    return current_mapping(upload)


def _check(upload: Upload, mapping: Mapping[str, int], ignored: Collection[int]) -> None:
    """Raises: InputError."""
    kind = get_kind(upload.kind)
    names = {column.name for column in kind.columns}
    places = range(1, len(upload.header) + 1)
    if unknown := set(mapping) - names:
        raise InputError(f"There is no field called {sorted(unknown)[0][:60]!r}.", code="bad_mapping")
    if len(set(mapping.values())) < len(mapping):
        raise InputError(
            "Two fields cannot be the same column. Choose another one for one of them.", code="bad_mapping"
        )
    if any(place not in places for place in (*mapping.values(), *ignored)):
        raise InputError(f"A column is a number from 1 to {len(places)}.", code="bad_mapping")
    need_key(kind, mapping)


def _ignored(upload: Upload) -> frozenset[int]:
    """Give the places that are not imported."""
    if upload.intent is not None:
        return frozenset(int(place) for place in upload.intent.get("ignored") or ())
    kept = find_remembered(upload, upload.header)
    return frozenset(kept.ignored if kept is not None else ())


def with_samples(upload: Upload, matches: Sequence[Match]) -> list[Match]:
    """Add to each column the share of rows that have it filled, and a few of its cells, read live from the file; neither
    where the cells take more memory than a page may.

    Raises: Busy, and as `hold_table`.
    Cost: reads the whole copy of up to MOST_COUNTED rows; of a larger one the share is that of stretches spread over it.
    """
    with hold_table(upload) as path:
        source = f"read_parquet({quote_text(str(path))})"
        spread, found = _spread(source, upload.row_count), []
        with open_room(settings.SCRATCH_DIR) as con:
            for start in range(0, len(matches), _AT_ONCE):
                some = matches[start : start + _AT_ONCE]
                try:
                    found += _look_at(con, source, spread, some)
                except duckdb.OutOfMemoryException:
                    found += some
    return found


def _look_at(con: duckdb.DuckDBPyConnection, source: str, spread: str, matches: Sequence[Match]) -> list[Match]:
    """Count and sample some columns."""
    counts = ", ".join(f"count_if(trim(c{m.place}) <> '')" for m in matches)
    rows, *filled = con.execute(f"SELECT count(*), {counts} FROM {spread}").fetchall()[0]
    cells = ", ".join(f"left(trim(c{m.place}), {_SAMPLE_CHARACTERS})" for m in matches)
    first = con.execute(f"SELECT {cells} FROM {source} WHERE row_number <= 200 ORDER BY row_number").fetchall()
    shares = [count / rows if rows else 0.0 for count in filled]
    columns = list(zip(*first, strict=True)) or [()] * len(matches)
    return [_sampled(*told) for told in zip(matches, shares, columns, strict=True)]


def _spread(source: str, rows: int) -> str:
    """Give what the shares are counted over: everything, or stretches of it, of which the copy is read nowhere else."""
    if rows <= MOST_COUNTED:
        return source
    starts = [1 + rows * n // STRETCHES for n in range(STRETCHES)]
    length = MOST_COUNTED // STRETCHES
    parts = [f"SELECT * FROM {source} WHERE row_number BETWEEN {a} AND {a + length - 1}" for a in starts]
    return f"({' UNION ALL '.join(parts)})"


def _sampled(match: Match, filled: float, column: Sequence[Any]) -> Match:
    """Add one column's share and its first different cells."""
    cells = dict.fromkeys(cell.strip()[:_SAMPLE_CHARACTERS] for cell in column if cell and cell.strip())
    return Match(
        match.place,
        match.header,
        match.field,
        match.how,
        match.confidence,
        match.ignored,
        round(filled, 4),
        tuple(cells)[:_SAMPLES],
    )
