"""What tests of an undo share: it is asked for, and gone on with until it has ended."""

from __future__ import annotations

from rowmill.contacts.removal import remove_imported
from rowmill.jobs.undoing import undo_due
from rowmill.merging.undo import undo_job
from rowmill.models import Job, Undo
from rowmill.orgs import Caller


def run_undos(most: int = 1000) -> None:
    """Go on with whatever is to be taken back until nothing is left."""
    while undo_due():
        most -= 1
        assert most, "an undo does not come to its end"


def take_back(caller: Caller, job: Job) -> Undo:
    """Take an import back, to the end."""
    undo = undo_job(caller, job)
    run_undos()
    undo.refresh_from_db()
    assert undo.state == "DONE"
    return undo


def remove_all(caller: Caller, job: Job) -> Undo:
    """Remove what an import brought, to the end."""
    undo = remove_imported(caller, job)
    run_undos()
    undo.refresh_from_db()
    assert undo.state == "DONE"
    return undo
