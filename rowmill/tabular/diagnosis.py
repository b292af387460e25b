"""The whole diagnosis of a file, in the limited child: what is known is told stage by stage, then causes and the map."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from rowmill.contracts import Inspection, Rules
from rowmill.tabular.inspect import open_table
from rowmill.tabular.reading import Limits

Tell = Callable[[dict[str, Any]], None]


def diagnose(request: Mapping[str, Any], limits: Limits, tell: Tell) -> dict[str, Any]:
    """Judge a file as thoroughly as can be. Shape: the Inspection as JSON.

    Tells {"scanned_bytes"} a few times a second, and {"stage", "so_far"} after the stages of `open_table`.
    """

    def tell_stage(stage: str, so_far: Inspection) -> None:
        tell({"stage": stage, "so_far": so_far.to_json()})

    with open_table(
        Path(request["path"]),
        Rules.from_json(request["rules"]),
        limits=limits,
        on_progress=lambda scanned_bytes: tell({"scanned_bytes": scanned_bytes}),
        on_stage=tell_stage,
        thorough=True,
    ) as reading:
        return reading.inspection.to_json()
