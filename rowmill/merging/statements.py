"""The second half of a merge: its SQL, for Postgres and SQLite. `s` is the staged row, `c` the row of the table."""

from __future__ import annotations

from dataclasses import dataclass

from django.db import connection
from django.db.models import JSONField, TextField

from rowmill.merging.target import Plan

STAGED, FOUND = "rowmill_staged", "rowmill_found"


@dataclass(frozen=True, slots=True)
class Statements:
    """Writes the statements of one plan. `org_id` and `job_id` are ours, so they stand in the text."""

    plan: Plan
    org_id: int
    job_id: int
    kind: str

    @property
    def postgres(self) -> bool:
        """Tell which of the two databases it is."""
        return connection.vendor == "postgresql"

    @property
    def table(self) -> str:
        """Give the target's name."""
        return self.plan.target.table

    @property
    def now(self) -> str:
        """Give the database's clock."""
        return "STATEMENT_TIMESTAMP()" if self.postgres else "STRFTIME('%Y-%m-%d %H:%M:%f', 'NOW')"

    # ---------------------------------------------------------------------------------------- staging

    def stage(self) -> list[str]:
        """Make the temporary tables: what came, and what of it is there already."""
        columns = ", ".join(f"{name} {self._type(name)}" for name in self.plan.columns)
        end = " ON COMMIT DROP" if self.postgres else ""
        return [
            *self.unstage(),
            f"CREATE TEMPORARY TABLE {STAGED} (row_number bigint, line_number bigint, match_key text, adopts boolean, "
            f"seek_key text, late boolean{', ' + columns if columns else ''}){end}",
            f"CREATE TEMPORARY TABLE {FOUND} (row_number bigint PRIMARY KEY, id bigint, differs boolean){end}",
        ]

    def unstage(self) -> list[str]:
        """Drop them."""
        where = "pg_temp" if self.postgres else "temp"
        return [f"DROP TABLE IF EXISTS {where}.{name}" for name in (STAGED, FOUND)]

    def plan_for_probes(self) -> list[str]:
        """Make Postgres look keys up in the index: it knows nothing of the size of what was just staged."""
        if not self.postgres:
            return []
        return ["SET LOCAL enable_hashjoin = off", "SET LOCAL enable_mergejoin = off", "SET LOCAL jit = off"]

    def _type(self, name: str) -> str:
        return str(self.plan.target.model_field(name).db_type(connection))

    # ---------------------------------------------------------------------------------------- which row is meant

    def adopt(self) -> str:
        """Let a row with the first key take over the one that has the second alone, where there is none of the first."""
        (first, _), (second, field) = self.plan.target.keys
        return (
            f"UPDATE {STAGED} AS s SET seek_key = c.match_key FROM {self.table} AS c "
            f"WHERE c.org_id = {self.org_id} AND c.{self._first_field} = '' AND c.{field} = s.{field} "
            f"AND s.adopts AND s.match_key LIKE '{first}:%' AND c.match_key LIKE '{second}:%' "
            f"AND NOT EXISTS (SELECT 1 FROM {self.table} AS o WHERE o.org_id = {self.org_id} "
            "AND o.match_key = s.match_key)"
        )

    @property
    def _first_field(self) -> str:
        return self.plan.target.keys[0][1]

    def join_second(self) -> str:
        """Let a row with the second key alone be about the only one that has it."""
        second, field = self.plan.target.keys[1]
        return (
            f"UPDATE {STAGED} SET late = true, match_key = o.match_key FROM ("
            f"SELECT s.row_number, min(c.match_key) AS match_key FROM {STAGED} AS s JOIN {self.table} AS c "
            f"ON c.org_id = {self.org_id} AND c.{field} = s.{field} AND c.{field} <> '' "
            f"WHERE s.match_key LIKE '{second}:%' GROUP BY s.row_number "
            f"HAVING count(*) = 1) AS o WHERE o.row_number = {STAGED}.row_number"
        )

    def ambiguous(self) -> str:
        """Give the rows with the second key alone that several have, none of them without a first key."""
        second, field = self.plan.target.keys[1]
        return (
            f"SELECT s.row_number FROM {STAGED} AS s JOIN {self.table} AS c ON c.org_id = {self.org_id} "
            f"AND c.{field} = s.{field} AND c.{field} <> '' WHERE s.match_key LIKE '{second}:%' "
            f"GROUP BY s.row_number, s.match_key "
            f"HAVING count(*) > 1 AND sum(CASE WHEN c.match_key = s.match_key THEN 1 ELSE 0 END) = 0"
        )

    # ---------------------------------------------------------------------------------------- the merge

    def find(self, which: str) -> str:
        """Note which staged rows are there already, and whether anything would change; on Postgres lock those."""
        lock = " FOR NO KEY UPDATE OF c" if self.postgres else ""
        return (
            f"INSERT INTO {FOUND} (row_number, id, differs) SELECT s.row_number, c.id, {self.differs()} "
            f"FROM {STAGED} AS s JOIN {self.table} AS c "
            f"ON c.org_id = {self.org_id} AND c.match_key = COALESCE(s.seek_key, s.match_key) "
            f"WHERE {which}{lock}"
        )

    def keep_old(self, which: str) -> str:
        """Keep the rows that are about to change, as they are; what a job changed first counts."""
        columns = [field.column for field in self.plan.target.model._meta.concrete_fields]
        pairs = ", ".join(f"'{name}', c.{name}" for name in columns)
        row = "to_jsonb(c)" if self.postgres else f"json_object({pairs})"
        return (
            "INSERT INTO rowmill_oldrow (org_id, job_id, target, target_id, revision, old, kept_at) "
            f"SELECT {self.org_id}, {self.job_id}, '{self.table}', c.id, c.revision + 1, {row}, {self.now} "
            f"FROM {FOUND} AS f JOIN {STAGED} AS s ON s.row_number = f.row_number "
            f"JOIN {self.table} AS c ON c.id = f.id WHERE f.differs AND {which} "
            "ON CONFLICT (job_id, target, target_id) DO UPDATE SET revision = excluded.revision"
        )

    def update(self, which: str) -> str:
        """Change the rows that differ, and only those."""
        sets = [f"{name} = {self._merged(name)}" for name in self.plan.columns]
        sets += ["match_key = s.match_key", f"import_job_id = {self.job_id}", "import_row = s.row_number"]
        sets += ["import_line = s.line_number", "revision = c.revision + 1", f"updated_at = {self.now}"]
        return (
            f"UPDATE {self.table} AS c SET {', '.join(sets)} FROM {STAGED} AS s, {FOUND} AS f "
            f"WHERE f.differs AND f.id = c.id AND s.row_number = f.row_number AND {which}"
        )

    def insert(self, which: str) -> str:
        """Put in the rows that are not there."""
        names = ["org_id", "match_key", "revision", "created_job_id", "import_job_id", "import_row", "import_line"]
        names += ["created_at", "updated_at"]
        values = [str(self.org_id), "s.match_key", "1", str(self.job_id), str(self.job_id), "s.row_number"]
        values += ["s.line_number", self.now, self.now]
        for field in self.plan.target.model._meta.concrete_fields:
            if field.column not in names and not field.primary_key:
                names.append(field.column)
                blank = self._blank(field.column)
                staged = field.column in self.plan.columns
                value = f"COALESCE(s.{field.column}, {blank})" if blank != "NULL" else f"s.{field.column}"
                values.append(value if staged else blank)
        return (
            f"INSERT INTO {self.table} ({', '.join(names)}) SELECT {', '.join(values)} FROM {STAGED} AS s "
            f"LEFT JOIN {FOUND} AS f ON f.row_number = s.row_number WHERE f.id IS NULL AND {which} "
            "ON CONFLICT (org_id, match_key) DO NOTHING"
        )

    def differences(self, most: int) -> str:
        """Give the first rows that would change: id, row number, every column as it is, every column as it would be."""
        before = ", ".join(f"c.{name}" for name in self.plan.columns)
        after = ", ".join(self._merged(name) for name in self.plan.columns)
        return (
            f"SELECT c.id, s.row_number, {before}, {after} FROM {FOUND} AS f "
            f"JOIN {STAGED} AS s ON s.row_number = f.row_number JOIN {self.table} AS c ON c.id = f.id "
            f"WHERE f.differs ORDER BY s.row_number LIMIT {int(most)}"
        )

    def differs(self) -> str:
        """Give the condition for a row of the table that a staged row would change."""
        if self.plan.policy == "skip":
            return "false" if self.postgres else "0"
        changed = " OR ".join(
            [self._changes(name) for name in self.plan.columns] + ["c.match_key IS DISTINCT FROM s.match_key"]
        )
        return f"({changed})" + (f" AND {self._newer()}" if self.plan.policy == "newest" else "")

    def _newer(self) -> str:
        """Give the condition for a staged row that is not older than the one there."""
        name = self.plan.target.newest_by
        if name not in self.plan.columns:
            return f"c.{name} IS NULL"
        return f"(c.{name} IS NULL OR s.{name} >= c.{name})"

    def _changes(self, name: str) -> str:
        """Give the condition for a column that would change."""
        after, before = self._merged(name), f"c.{name}"
        if not self.postgres and isinstance(self.plan.target.model_field(name), JSONField):
            after, before = f"json({after})", f"json({before})"
        return f"{before} IS DISTINCT FROM {after}"

    def _merged(self, name: str) -> str:
        """Give what a column holds afterwards."""
        only_blanks = self.plan.policy == "blanks"
        if name in self.plan.target.objects:
            return self._joined_objects(name, staged_wins=not only_blanks)
        field = self.plan.target.find_field(name)
        leader = field.follows if field is not None and field.follows in self.plan.columns else ""
        if leader:
            taken = f"s.{leader} IS NOT NULL" + (f" AND {self._is_blank(leader)}" if only_blanks else "")
            return f"CASE WHEN {taken} THEN s.{name} ELSE c.{name} END"
        if only_blanks:
            return f"CASE WHEN {self._is_blank(name)} THEN COALESCE(s.{name}, c.{name}) ELSE c.{name} END"
        return f"COALESCE(s.{name}, c.{name})"

    def _joined_objects(self, name: str, *, staged_wins: bool) -> str:
        """Join two JSON objects, member by member."""
        staged = f"COALESCE(s.{name}, '{{}}')"
        if self.postgres:
            return f"(c.{name} || {staged})" if staged_wins else f"({staged} || c.{name})"
        # Texts are compared here: what is there already keeps its order.
        over = staged if staged_wins else f"json_patch({staged}, c.{name})"
        return f"json_patch(c.{name}, {over})"

    def _is_blank(self, name: str) -> str:
        blank = self._blank(name)
        return f"c.{name} IS NULL" if blank == "NULL" else f"c.{name} = {blank}"

    def _blank(self, name: str) -> str:
        """Give what a column holds where there is nothing."""
        field = self.plan.target.model_field(name)
        if isinstance(field, JSONField):
            empty = "'{}'" if field.default is dict else "'[]'"
            return f"{empty}::jsonb" if self.postgres else empty
        return "''" if isinstance(field, TextField) else "NULL"
