"""The claims kind in small batches, so that a worker with few threads has few calls in flight."""

from __future__ import annotations

from rowmill.kinds.claim_status import ClaimStatus


class ClaimsFew(ClaimStatus):
    """Twenty-five rows to a batch."""

    slug = "claims_few"
    label = "Claims, a few at a time"
    batch_rows = 25
