"""Tables, constraints and state words. No verbs, no I/O."""

from rowmill.models.cohorts import WORKING_STATES, Cohort, Submission, SubmissionTable, TableState, UnknownIds
from rowmill.models.contacts import ChosenColumns, Contact
from rowmill.models.exports import Export, ExportState
from rowmill.models.intake import FindingRecord, Upload, UploadState
from rowmill.models.limits import AttemptCount, PayerLimit
from rowmill.models.merges import (
    BatchMerge,
    ColumnMapping,
    EffectState,
    ImportEffect,
    Merged,
    OldRow,
    Undo,
    UndoStage,
    UndoState,
    UndoWhat,
)
from rowmill.models.people import Invitation, Membership, Org, PayerAccount, Practice, Role, SignInLink, User
from rowmill.models.precheck import Precheck, PrecheckStatus
from rowmill.models.sessions import PartPlace, SessionDoor, SessionState, UploadPart, UploadSession
from rowmill.models.trail import AuditEvent
from rowmill.models.work import (
    FINAL_STATES,
    LIVE_STATES,
    OPEN_STATES,
    Batch,
    BatchState,
    IdempotencyKey,
    Job,
    JobState,
    OutcomeState,
    Result,
)
from rowmill.models.worker import Worker, WorkerRole

__all__ = [
    "FINAL_STATES",
    "LIVE_STATES",
    "OPEN_STATES",
    "WORKING_STATES",
    "AttemptCount",
    "AuditEvent",
    "Batch",
    "BatchMerge",
    "BatchState",
    "ChosenColumns",
    "Cohort",
    "ColumnMapping",
    "Contact",
    "EffectState",
    "Export",
    "ExportState",
    "FindingRecord",
    "IdempotencyKey",
    "ImportEffect",
    "Invitation",
    "Job",
    "JobState",
    "Membership",
    "Merged",
    "OldRow",
    "Org",
    "OutcomeState",
    "PartPlace",
    "PayerAccount",
    "PayerLimit",
    "Practice",
    "Precheck",
    "PrecheckStatus",
    "Result",
    "Role",
    "SessionDoor",
    "SessionState",
    "SignInLink",
    "Submission",
    "SubmissionTable",
    "TableState",
    "Undo",
    "UndoStage",
    "UndoState",
    "UndoWhat",
    "UnknownIds",
    "Upload",
    "UploadPart",
    "UploadSession",
    "UploadState",
    "User",
    "Worker",
    "WorkerRole",
]
