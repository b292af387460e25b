"""Part of pages: an undo or a removal with its pace, as templates/undos/told.html shows it."""

from __future__ import annotations

from dataclasses import dataclass

from rowmill.merging.undo import find_undo, is_at_work, pace_of
from rowmill.models import Job, Undo, UndoState, UndoWhat


@dataclass(frozen=True, slots=True)
class UndoTold:
    """How far an undo or a removal is. Units: rows per minute; seconds left (at best, at worst)."""

    undo: Undo
    rows_per_minute: float | None
    seconds_left: tuple[int, int] | None

    @property
    def at_work(self) -> bool:
        """Tell whether it has not ended yet."""
        return is_at_work(self.undo)

    @property
    def failed(self) -> bool:
        """Tell whether it waits for a person to start it again."""
        return self.undo.state == UndoState.FAILED

    @property
    def is_removal(self) -> bool:
        """Tell whether old values stay out of it."""
        return self.undo.what == UndoWhat.REMOVAL

    @property
    def state_words(self) -> str:
        """Say in two words how it stands."""
        words = {UndoState.DONE: "is taken back", UndoState.FAILED: "could not be taken back to the end"}
        return words.get(UndoState(self.undo.state), "is being taken back")


def tell_undo(job: Job, what: UndoWhat = UndoWhat.UNDO) -> UndoTold | None:
    """Give how far an import's undo or removal is; None where nobody asked for it."""
    undo = find_undo(job, what)
    return UndoTold(undo, *pace_of(undo)) if undo is not None else None


def tell_undos(job: Job) -> list[UndoTold]:
    """Give all that was, or is, taken back of an import."""
    return [told for what in UndoWhat if (told := tell_undo(job, what)) is not None]
