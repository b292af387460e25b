"""The exception tree: every error that Rowmill raises on purpose, and what each one means for the caller.

    RowmillError
    ├── InputError                 the person's input is wrong: 400, with the place and the way out
    │   ├── TableError             the file is not a sound table (carries findings)
    │   └── DuplicateFile          the same bytes were taken in within a day: 409
    ├── StateError                 the thing is not in a state that allows this: 409
    │   └── LostLease              the batch belongs to a newer claim; this worker may write nothing
    ├── KeyReused                  an Idempotency-Key came again with another body: 422
    ├── NotFound                   no such thing inside the caller's org: 404
    ├── NotAllowed                 the caller's role does not allow it: 403
    │   └── QuotaExceeded          the org has as much as it may have: 403
    ├── Expired                    the upload was not finished in its time; its bytes are gone: 410
    ├── OutOfSpace                 the disk is below its threshold: 507
    ├── TableGone                  the columnar copy of a file cannot be read: the batch fails, no row is to blame
    │   └── ObjectChanged          the stored bytes are not those that were checked: they are refused
    ├── TooMuch                    all rows of a file together take more memory than there is: the batch fails, no row is to blame
    ├── Busy                       more is asked for at once than there is memory for: 503; the same again in a moment
    ├── StorageFault               the storage does not answer, or not as it should: 503; a batch waits, no attempt is spent
    ├── Snooze                     "not yet": the batch waits, no attempt is spent
    ├── PayerError                 a payer's trouble, with whom to blame: row, world or setup
    ├── ChildError                 the limited child process died, ran out of memory or of time
    └── ConfigError                a setting is missing or unsafe; the message says which and how

The text of an error never holds a cell's value.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from rowmill.contracts import Finding

Blame = Literal["row", "world", "setup"]


class RowmillError(Exception):
    """Something went wrong."""

    code = "error"

    def __init__(self, message: str = "", **details: Any) -> None:
        super().__init__(message or (self.__doc__ or "").strip())
        self.code = str(details.get("code", type(self).code))
        self.details = details


class InputError(RowmillError):
    """What was sent cannot be used."""

    code = "bad_input"


class TableError(InputError):
    """The file is not a sound table."""

    code = "unsound_file"

    def __init__(self, message: str, findings: Sequence[Finding] = (), **details: Any) -> None:
        super().__init__(message, **details)
        self.findings = tuple(findings)


class DuplicateFile(InputError):
    """The same file was taken in within the last day."""

    code = "duplicate_file"


class StateError(RowmillError):
    """This cannot be done in the present state."""

    code = "wrong_state"


class LostLease(StateError):
    """The batch was taken over by another worker; nothing was written."""

    code = "lost_lease"


class KeyReused(RowmillError):
    """This Idempotency-Key was used before with another request."""

    code = "idempotency_key_reused"


class NotFound(RowmillError):
    """There is no such thing here."""

    code = "not_found"


class NotAllowed(RowmillError):
    """Your role does not allow this."""

    code = "not_allowed"


class QuotaExceeded(NotAllowed):
    """Your org has as much here as it may have."""

    code = "quota_exceeded"


class Expired(RowmillError):
    """This upload was not finished in its time, so its bytes were removed. Begin it again."""

    code = "expired"


class OutOfSpace(RowmillError):
    """The disk is almost full; nothing was stored."""

    code = "out_of_space"


class TableGone(RowmillError):
    """The file's columnar copy cannot be read."""

    code = "table_gone"


class ObjectChanged(TableGone):
    """The stored file is not the one that was checked: its bytes have changed, so it is not used."""

    code = "object_changed"


class TooMuch(RowmillError):
    """Comparing the rows of this file with each other takes more memory than there is."""

    code = "too_much"


class Busy(RowmillError):
    """Many people look at files just now, and each look takes memory. Try again in a moment."""

    code = "busy"


class StorageFault(RowmillError):
    """The storage does not answer."""

    code = "storage_down"


class Snooze(RowmillError):
    """Not yet: the batch shall wait, without an attempt spent.

    Units: seconds until the batch is due again. `reason` is shown to people as the job's waiting reason.
    """

    code = "snooze"

    def __init__(self, seconds: float, reason: str = "") -> None:
        super().__init__(reason or "Not yet.")
        self.seconds = seconds
        self.reason = reason


class PayerError(RowmillError):
    """The payer could not answer.

    `blame`: "row" (bad input or mismatch: rejected, never retried), "world" (time-out, 429, 5xx, garbage: tried again,
    then failed), "setup" (credentials, not entitled: the batch snoozes, no row is spent, the admin is told).
    Units: retry_after_seconds as the payer asked, None where it did not.
    """

    code = "payer_error"

    def __init__(self, code: str, blame: Blame, message: str = "", *, retry_after_seconds: float | None = None) -> None:
        super().__init__(message or code)
        self.code = code
        self.blame: Blame = blame
        self.retry_after_seconds = retry_after_seconds


class ChildError(RowmillError):
    """The limited child process that reads the file stopped before it was done."""

    code = "child_died"


class ConfigError(RowmillError):
    """The configuration is not usable."""

    code = "bad_config"
