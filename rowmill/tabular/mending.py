"""In the limited child: what is made of a file that was judged: its mended copy."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rowmill.contracts import Rules
from rowmill.tabular.mends import apply_mends
from rowmill.tabular.reading import Limits


def mend(request: Mapping[str, Any], limits: Limits, tell: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    """Write the mended copy to `out`. Shape: the MendReport."""
    report = apply_mends(
        Path(request["path"]),
        Path(request["out"]),
        request["mends"],
        Rules.from_json(request["rules"]),
        limits=limits,
    )
    return asdict(report)
