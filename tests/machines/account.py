"""The account of a cluster at rest, by SQL alone: every row once, counters as the results say, nothing in limbo."""

from __future__ import annotations

from tests.machines.cluster import Servers

# What must give no row, each with the words for what it would mean.
RULES = {
    "limbo: a job has not ended": "SELECT id FROM rowmill_job WHERE state NOT IN ('COMPLETED', 'FAILED', 'CANCELLED')",
    "limbo: a batch has an owner or a lease": "SELECT id FROM rowmill_batch WHERE owner <> '' OR lease_until IS NOT NULL",
    "limbo: an upload is under way": "SELECT id FROM rowmill_upload WHERE state IN ('RECEIVING', 'CHECKING')",
    "marker: a completed job has a batch that is not done": """
        SELECT b.id FROM rowmill_batch b JOIN rowmill_job j ON j.id = b.job_id
        WHERE j.state = 'COMPLETED' AND b.state <> 'done'""",
    "lost: a row of a completed job has no result": """
        SELECT j.id, n FROM rowmill_job j, generate_series(1, j.total_rows) n
        WHERE j.state = 'COMPLETED' AND j.deleted_at IS NULL
        AND NOT EXISTS (SELECT 1 FROM rowmill_result r WHERE r.job_id = j.id AND r.row_number = n)""",
    "twice: a row has two results": """
        SELECT job_id, row_number FROM rowmill_result GROUP BY job_id, row_number HAVING count(*) > 1""",
    "stray: a result of a row that is not": """
        SELECT r.id FROM rowmill_result r JOIN rowmill_job j ON j.id = r.job_id
        WHERE r.row_number NOT BETWEEN 1 AND j.total_rows OR r.org_id <> j.org_id""",
    "ranges: the batches do not cover the rows": """
        SELECT j.id FROM rowmill_job j JOIN rowmill_batch b ON b.job_id = j.id GROUP BY j.id
        HAVING min(b.first_row) <> 1 OR max(b.last_row) <> j.total_rows
        OR sum(b.last_row - b.first_row + 1) <> j.total_rows""",
    "counters: a batch counts what its results do not say": """
        SELECT b.id FROM rowmill_batch b LEFT JOIN rowmill_result r
        ON r.job_id = b.job_id AND r.row_number BETWEEN b.first_row AND b.last_row GROUP BY b.id
        HAVING b.ok <> count(*) FILTER (WHERE r.outcome = 'ok')
        OR b.not_found <> count(*) FILTER (WHERE r.outcome = 'not_found')
        OR b.rejected <> count(*) FILTER (WHERE r.outcome = 'rejected')
        OR b.failed <> count(*) FILTER (WHERE r.outcome = 'failed')""",
    "fence: a result was written under a claim that never was": """
        SELECT r.id FROM rowmill_result r JOIN rowmill_batch b
        ON b.job_id = r.job_id AND r.row_number BETWEEN b.first_row AND b.last_row
        WHERE r.claims > b.claims OR r.claims < 1""",
    "end: a result was written after the job's end": """
        SELECT r.id FROM rowmill_result r JOIN rowmill_job j ON j.id = r.job_id WHERE r.written_at > j.completed_at""",
}


def find_violations(them: Servers) -> list[str]:
    """Name every rule that is broken, with how often. An empty list is what must be."""
    found = [(words, len(them.ask(sql))) for words, sql in RULES.items()]
    if not them.one("SELECT count(*) FROM rowmill_job"):
        return ["nothing: there is no job to account for"]
    return [f"{words} ({count} times)" for words, count in found if count]
