"""A history that Postgres writes by triggers, behind the engine's back, and what it must say (reliability.md §8).

Every change of state of a batch or a job, and every result written, replaced or removed, is a line. Lines are never
unique by row, so an effect that was committed twice is seen twice. The order of commits is that of
`pg_xact_commit_timestamp` (the server runs with `track_commit_timestamp`).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg

TRACED = {"track_commit_timestamp": "on"}
JOB_STEPS = {
    ("", "PENDING"),
    ("PENDING", "PROCESSING"),
    ("PENDING", "CANCELLING"),
    ("PROCESSING", "CANCELLING"),
    ("PROCESSING", "COMPLETED"),
    ("PROCESSING", "FAILED"),
    ("CANCELLING", "CANCELLED"),
    ("COMPLETED", "PROCESSING"),
    ("FAILED", "PROCESSING"),
    ("CANCELLED", "PROCESSING"),
}
BATCH_STEPS = {
    ("", "waiting"),
    ("waiting", "running"),
    ("waiting", "cancelled"),
    ("running", "waiting"),
    ("running", "done"),
    ("running", "failed"),
    ("running", "cancelled"),
    ("done", "waiting"),
    ("failed", "waiting"),
    ("cancelled", "waiting"),
    ("cancelled", "done"),
}

_TABLE = """
CREATE TABLE nemesis_history (
    id bigserial PRIMARY KEY, what text NOT NULL, operation text NOT NULL, job_id bigint NOT NULL, batch_id bigint,
    row_number bigint, old_state text NOT NULL DEFAULT '', new_state text NOT NULL DEFAULT '', old_claims bigint, claims bigint
);
CREATE INDEX ON nemesis_history (job_id, what);
CREATE INDEX ON nemesis_history (batch_id, id);

CREATE FUNCTION nemesis_job() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO nemesis_history (what, operation, job_id, old_state, new_state)
    VALUES ('job', TG_OP, NEW.id, CASE WHEN TG_OP = 'INSERT' THEN '' ELSE OLD.state END, NEW.state);
    RETURN NULL;
END $$;
CREATE FUNCTION nemesis_batch() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO nemesis_history (what, operation, job_id, batch_id, old_state, new_state, old_claims, claims)
    VALUES ('batch', TG_OP, NEW.job_id, NEW.id, CASE WHEN TG_OP = 'INSERT' THEN '' ELSE OLD.state END, NEW.state,
            CASE WHEN TG_OP = 'INSERT' THEN NEW.claims ELSE OLD.claims END, NEW.claims);
    RETURN NULL;
END $$;
CREATE FUNCTION nemesis_result() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE told rowmill_result := CASE WHEN TG_OP = 'DELETE' THEN OLD ELSE NEW END;
BEGIN
    INSERT INTO nemesis_history (what, operation, job_id, row_number, old_state, new_state, claims)
    VALUES ('result', TG_OP, told.job_id, told.row_number,
            CASE WHEN TG_OP = 'INSERT' THEN '' ELSE OLD.outcome END, CASE WHEN TG_OP = 'DELETE' THEN '' ELSE NEW.outcome END,
            told.claims);
    RETURN NULL;
END $$;
CREATE TRIGGER nemesis_job_made AFTER INSERT ON rowmill_job FOR EACH ROW EXECUTE FUNCTION nemesis_job();
CREATE TRIGGER nemesis_job_moved AFTER UPDATE ON rowmill_job FOR EACH ROW
    WHEN (OLD.state <> NEW.state) EXECUTE FUNCTION nemesis_job();
CREATE TRIGGER nemesis_batch_made AFTER INSERT ON rowmill_batch FOR EACH ROW EXECUTE FUNCTION nemesis_batch();
CREATE TRIGGER nemesis_batch_moved AFTER UPDATE ON rowmill_batch FOR EACH ROW
    WHEN (OLD.state <> NEW.state OR OLD.claims <> NEW.claims) EXECUTE FUNCTION nemesis_batch();
CREATE TRIGGER nemesis_result_moved AFTER INSERT OR UPDATE OR DELETE ON rowmill_result FOR EACH ROW
    EXECUTE FUNCTION nemesis_result();
"""

# Each gives places that must not be; the words before it name the invariant.
_TWICE = """
SELECT job_id, row_number FROM nemesis_history WHERE what = 'result' AND operation = 'UPDATE' GROUP BY 1, 2
UNION SELECT job_id, row_number FROM nemesis_history WHERE what = 'result'
GROUP BY 1, 2 HAVING sum(CASE operation WHEN 'INSERT' THEN 1 WHEN 'DELETE' THEN -1 ELSE 0 END) NOT IN (0, 1)
"""
_FENCE_MOVED = """
SELECT job_id, batch_id FROM nemesis_history WHERE what = 'batch' AND operation = 'UPDATE'
AND NOT (claims = old_claims + (CASE WHEN old_state = 'waiting' AND new_state = 'running' THEN 1 ELSE 0 END))
"""
# A result must carry the fence that its batch had when it was written. A batch that was halved had other rows before.
_STALE = """
SELECT r.job_id, r.row_number FROM nemesis_history r
JOIN rowmill_batch b ON b.job_id = r.job_id AND r.row_number BETWEEN b.first_row AND b.last_row
WHERE r.what = 'result' AND r.operation IN ('INSERT', 'UPDATE')
AND r.job_id NOT IN (SELECT h.job_id FROM nemesis_history h WHERE h.what = 'batch' AND h.operation = 'INSERT' AND h.claims > 0)
AND r.claims <> (SELECT max(h.claims) FROM nemesis_history h WHERE h.batch_id = b.id AND h.what = 'batch' AND h.id < r.id)
"""
_CANCELS = """
WITH cancels AS (
    SELECT c.job_id, pg_xact_commit_timestamp(c.xmin) AS at, (
        SELECT pg_xact_commit_timestamp(p.xmin) FROM nemesis_history p WHERE p.job_id = c.job_id AND p.what = 'job'
        AND p.id > c.id AND p.new_state = 'PROCESSING' ORDER BY p.id LIMIT 1) AS again_at
    FROM nemesis_history c WHERE c.what = 'job' AND c.new_state = 'CANCELLING')
"""
_AFTER_CANCEL = (
    _CANCELS
    + """
SELECT r.job_id, r.row_number FROM cancels c JOIN nemesis_history r ON r.job_id = c.job_id AND r.what = 'result'
WHERE r.operation <> 'DELETE' AND pg_xact_commit_timestamp(r.xmin) > c.at
AND (c.again_at IS NULL OR pg_xact_commit_timestamp(r.xmin) < c.again_at)
"""
)
_TALLY_AFTER_CANCEL = (
    _CANCELS
    + """
SELECT t.job_id, t.row_number FROM cancels c JOIN nemesis_tally t ON t.job_id = c.job_id
WHERE pg_xact_commit_timestamp(t.xmin) > c.at AND (c.again_at IS NULL OR pg_xact_commit_timestamp(t.xmin) < c.again_at)
"""
)
_TALLY_TWICE = "SELECT job_id, row_number FROM nemesis_tally GROUP BY 1, 2 HAVING count(*) > 1"
_TALLY_MARKER = """
SELECT coalesce(t.job_id, r.job_id), coalesce(t.row_number, r.row_number) FROM nemesis_tally t
FULL JOIN (SELECT r.job_id, r.row_number, r.claims FROM rowmill_result r JOIN rowmill_job j ON j.id = r.job_id
           WHERE j.kind = 'tally' AND r.outcome = 'ok') r
ON r.job_id = t.job_id AND r.row_number = t.row_number AND r.claims = t.claims
WHERE t.job_id IS NULL OR r.job_id IS NULL
"""
_TALLY_CROSSING = """
SELECT t.job_id, t.row_number FROM nemesis_tally t JOIN rowmill_job j ON j.id = t.job_id WHERE t.org_id <> j.org_id
"""
QUESTIONS = {
    "twice: a row's result was committed more than once": _TWICE,
    "fence: a batch's fence moved without a claim, or a claim without its fence": _FENCE_MOVED,
    "stale: a result was written under an older fence than its batch had": _STALE,
    "cancel: a result was committed after its job's cancel": _AFTER_CANCEL,
}
TALLY_QUESTIONS = {
    "twice: an effect was committed more than once": _TALLY_TWICE,
    "marker: an effect without its result, or a result without its effect": _TALLY_MARKER,
    "cancel: an effect was committed after its job's cancel": _TALLY_AFTER_CANCEL,
    "crossing: an effect under another org": _TALLY_CROSSING,
}


def install(url: str, more: str = "") -> None:
    """Have the database write its history from now on; `more` is further SQL."""
    with psycopg.connect(url) as connection:
        connection.execute(_TABLE + more)


def find_broken(url: str, *, tally: bool = True) -> list[str]:
    """Name what the history says that must not be."""
    with psycopg.connect(url) as connection:
        found = list(_steps(connection))
        for words, sql in {**QUESTIONS, **(TALLY_QUESTIONS if tally else {})}.items():
            places = connection.execute(sql).fetchall()
            if places:
                found.append(f"{words} ({len(places)} times, first job {places[0][0]}, {places[0][1]})")
    return found


def _steps(connection: psycopg.Connection[Any]) -> Iterator[str]:
    """Only legal changes of state were ever committed."""
    asked = "SELECT what, old_state, new_state, count(*), min(job_id) FROM nemesis_history WHERE what <> 'result' AND "
    asked += "(operation = 'INSERT' OR old_state <> new_state) GROUP BY 1, 2, 3"
    for what, old, new, count, job in connection.execute(asked):
        if (old, new) not in (JOB_STEPS if what == "job" else BATCH_STEPS):
            yield f"history: a {what} went from {old or 'nothing'} to {new} ({count} times, first job {job})"


def summary(url: str) -> dict[str, int]:
    """Count what happened."""
    asked = {
        "claims": "SELECT count(*) FROM nemesis_history WHERE what = 'batch' AND new_state = 'running' AND old_state = 'waiting'",
        "lost leases": "SELECT count(*) FROM nemesis_history WHERE what='batch' AND old_state='running' AND new_state='waiting'",
        "results": "SELECT count(*) FROM nemesis_history WHERE what = 'result' AND operation = 'INSERT'",
        "cancels": "SELECT count(*) FROM nemesis_history WHERE what = 'job' AND new_state = 'CANCELLING'",
        "retries": "SELECT count(*) FROM nemesis_history WHERE what='job' AND operation='UPDATE' AND new_state='PROCESSING' "
        "AND old_state <> 'PENDING'",
    }
    with psycopg.connect(url) as connection:
        return {words: int(connection.execute(sql).fetchone()[0]) for words, sql in asked.items()}  # type: ignore[index]


def checksums(url: str, org_id: int) -> dict[str, str]:
    """Give a checksum of all that a table holds of an org, for every table that has an `org_id`."""
    tables = (
        "SELECT table_name FROM information_schema.columns WHERE column_name = 'org_id' AND table_schema = 'public'"
    )
    with psycopg.connect(url) as connection:
        names = [row[0] for row in connection.execute(tables)]
        told = {}
        for name in sorted(names):
            sql = f"SELECT md5(coalesce(string_agg(t::text, chr(10) ORDER BY t::text), '')) FROM {name} t WHERE org_id = %s"
            told[name] = str(connection.execute(sql, (org_id,)).fetchone()[0])  # type: ignore[index, arg-type]
    return told
