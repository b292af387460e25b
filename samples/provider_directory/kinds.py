"""The kind `providers`: a Table Schema and the name of a table, and nothing else."""

from __future__ import annotations

import json
from pathlib import Path

from rowmill.kinds.bulk_kind import BulkKind

SCHEMA = json.loads(Path(__file__).with_name("providers.schema.json").read_text(encoding="utf-8"))

Providers = BulkKind.from_descriptor(
    "providers", "Providers", SCHEMA, "provider_directory.Provider", extra="extra", newest_by="verified_on"
)
