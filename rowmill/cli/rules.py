"""The rules that `check` holds a file against, a kind's or a Table Schema's; and `kinds`, which tells what there is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rowmill.contracts import Finding, Rules


def find_rules(kind: str | None, schema: Path | None) -> Rules:
    """Give the rules of a kind or of a Table Schema, none where neither is named.

    Raises: NotFound for an unknown kind, BadParameter for a file that is no descriptor, InputError for one with words
    that are not kept.
    """
    from rowmill.contracts import NO_RULES
    from rowmill.registry import extend, get_kind, read_schema, rules_of
    from rowmill.wiring import env

    if kind is not None and schema is not None:
        raise typer.BadParameter("give --kind or --schema, not both.")
    if kind is None and schema is None:
        return NO_RULES
    extend(env("ROWMILL_KINDS"), env("ROWMILL_PAYERS"), env("ROWMILL_CHECKS"))
    if kind is not None:
        return rules_of(get_kind(kind))
    assert schema is not None
    try:
        descriptor = json.loads(schema.read_text(encoding="utf-8-sig"))
    except (ValueError, RecursionError):
        raise typer.BadParameter(f"{str(schema)!r} is not JSON in UTF-8.") from None
    return read_schema(descriptor)


def find_missing_key(kind: str | None, mapping: Mapping[str, int]) -> Finding | None:
    """Give the finding that no row of a file can be told by the kind's keys, None where one of them is a column of it.

    Such a file can be sent all the same: which column is the key can be said before the import.
    """
    from rowmill.contracts import Finding
    from rowmill.registry import get_kind
    from rowmill.tabular.wording import WORDING

    found = get_kind(kind) if kind is not None else None
    if found is None or not found.merges:
        return None
    names = [name for _, name in found.target.keys]  # type: ignore[attr-defined]
    if any(name in mapping for name in names):
        return None
    labels = [column.label or column.name for column in found.columns if column.name in names]
    wording = WORDING["key-column-missing"]
    message = wording.message.format(place="the file", keys=" or the ".join(labels))
    return Finding("key-column-missing", wording.severity, message, mend=wording.mend.format(names=" or ".join(names)))


def kinds(
    schema: Annotated[str | None, typer.Option(help="Print the rules of this kind as a Table Schema.")] = None,
) -> None:
    """List the kinds of files that are known; or print one's columns and checks as a Table Schema, for `check --schema`."""
    from rowmill.registry import KINDS, extend, get_kind, rules_of, write_schema
    from rowmill.wiring import env

    extend(env("ROWMILL_KINDS"), env("ROWMILL_PAYERS"), env("ROWMILL_CHECKS"))
    if schema is not None:
        print(json.dumps(write_schema(rules_of(get_kind(schema))), indent=2, ensure_ascii=False))
        return
    for slug in KINDS:
        print(f"{slug}  {get_kind(slug).label}")
