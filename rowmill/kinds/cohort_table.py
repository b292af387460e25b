"""The kind `cohort_table`: each row is one record about a patient of a cohort, and every patient must be known."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from importlib import import_module
from typing import Any

from rowmill.contracts import BatchInfo, Column, Kind, Outcome, Row


class CohortTable(Kind):
    """A table of a submission. One bad row rejects the file: an unknown patient ID stops the whole table.

    Its files come in through a submission, are judged by the cohort line, and become a database; no job runs over them.
    """

    slug = "cohort_table"
    label = "Cohort table"
    makes_jobs = False
    columns = (
        Column(
            "patient_id",
            "Patient ID",
            required=True,
            filled=True,
            aliases=("patient", "patient number", "patient no", "pat id", "patientid", "subject id", "subject", "mrn"),
            help="The patient's ID as the patient table has it, as text: leading zeros count.",
            example="0001047",
        ),
    )

    def judge(self, upload: Any, usual: Callable[[Any], Any]) -> Any:
        """Check the IDs too, and keep the table as a database."""
        # By name: `rowmill check --kind cohort_table` needs the columns, and has no database to import models for.
        return import_module("rowmill.cohorts.check").check_table_file(upload, usual)

    def follow(self, upload: Any, state: str) -> None:
        """Say on the table whose file it is."""
        import_module("rowmill.cohorts.following").follow_upload(upload, state)

    def process(self, batch: BatchInfo, rows: Iterable[Row]) -> Iterator[Outcome]:
        """Say ok for every row without a problem: what there was to do was done for the table as a whole."""
        for row in rows:
            if row.problems:
                yield Outcome(row.number, "rejected", "INVALID_INPUT", "A cell of this row is wrong.")
            else:
                yield Outcome(row.number, "ok")
