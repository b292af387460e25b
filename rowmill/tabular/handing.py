"""In the limited child: what is read live from a judged file: examples of its causes, its failed rows, the file with notes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rowmill.contracts import Cause, Rules
from rowmill.tabular import examples
from rowmill.tabular.annotate import write_annotated
from rowmill.tabular.failed_rows import write_failed_rows
from rowmill.tabular.reading import Limits

Tell = Callable[[dict[str, Any]], None]


def show_examples(request: Mapping[str, Any], limits: Limits, tell: Tell) -> dict[str, Any]:
    """Read examples of the causes in `causes`. Shape: {"examples": as `examples.as_json` gives them}."""
    causes = [Cause(**told) for told in request["causes"]]
    found = examples.examples(Path(request["path"]), causes, Rules.from_json(request["rules"]), limits=limits)
    return {"examples": examples.as_json(causes, found)}


def list_failed_rows(request: Mapping[str, Any], limits: Limits, tell: Tell) -> dict[str, Any]:
    """Write the failing rows to `out`. Shape: {"rows": how many}."""
    rules = Rules.from_json(request["rules"])
    return {"rows": write_failed_rows(Path(request["path"]), Path(request["out"]), rules, limits=limits)}


def annotate(request: Mapping[str, Any], limits: Limits, tell: Tell) -> dict[str, Any]:
    """Write the file with notes to `out`. Shape: Annotated."""
    rules = Rules.from_json(request["rules"])
    return asdict(write_annotated(Path(request["path"]), Path(request["out"]), rules, limits=limits))
