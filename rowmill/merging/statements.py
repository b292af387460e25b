"""The second half of a merge: its SQL, for Postgres and SQLite. `s` is the staged row, `c` the row of the table."""

from __future__ import annotations

from dataclasses import dataclass

from django.db import connection
from django.db.models import JSONField, TextField

from rowmill.merging.target import Plan
from rowmill.tabular.load import quote_name

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
        number = "bigint" if self.postgres else "integer"  # which is the row itself there, without an index
        return [
            *self.unstage(),
            f"CREATE TEMPORARY TABLE {STAGED} (row_number {number} PRIMARY KEY, line_number bigint, match_key text, "
            f"adopts boolean, seek_key text, late boolean{', ' + columns if columns else ''}){end}",
            f"CREATE TEMPORARY TABLE {FOUND} (row_number {number} PRIMARY KEY, id bigint, differs boolean){end}",
        ]

    def unstage(self) -> list[str]:
        """Drop them."""
        where = "pg_temp" if self.postgres else "temp"
        return [f"DROP TABLE IF EXISTS {where}.{name}" for name in (STAGED, FOUND)]

    def plan_for_probes(self) -> list[str]:
        """Make Postgres look keys up in the index: it knows nothing of the size of what was just staged."""
        if not self.postgres:
            return []
        # A table that grows while it is read in order would be read again and again, longer each time.
        ways = ("enable_hashjoin", "enable_mergejoin", "enable_material", "enable_seqscan", "enable_sort", "jit")
        return [f"SET LOCAL {name} = off" for name in ways]

    def _seek(self, column: str, value: str) -> str:
        """Write the condition for the org's rows with a key; `_in_order` comes behind it.

        Where Postgres believes that a table is empty (it was analysed when it was), every index that begins with the org
        looks equally good to it. Only that of the key has the rows in the key's order, and sorting is off.
        """
        equal = f"{column} >= {value} AND {column} <= {value}" if self.postgres else f"{column} = {value}"
        return f"c.org_id = {self.org_id} AND {equal}"

    def _in_order(self, column: str) -> str:
        return f" ORDER BY c.org_id, {column}" if self.postgres else ""

    def _type(self, name: str) -> str:
        return str(self.plan.target.model_field(name).db_type(connection))

    # ---------------------------------------------------------------------------------------- new rows

    def find_old(self) -> str:
        """Give the rows, of keys as JSON, of which either key is in the table. All others can go straight in."""
        n, a, b = "k.n", "k.a", "k.b"
        told = "json_to_recordset(%s) AS k(n bigint, a text, b text)"
        if not self.postgres:
            n, a, b = (f"json_extract(k.value, '$.{name}')" for name in "nab")
            told = "json_each(%s) AS k"
        # Each a probe of an index, whatever the planner thinks of the table's size.
        there = [self._first("c.match_key", a)]
        if len(self.plan.target.keys) > 1:
            other = f"c.{self.plan.target.keys[1][1]}"
            there.append(self._first(other, b, f" AND {_is_filled(other)}"))
        return f"SELECT {n} FROM {told} WHERE {' OR '.join(f'{one} IS NOT NULL' for one in there)}"

    def _first(self, column: str, value: str, more: str = "", what: str = "c.id") -> str:
        """Give something of the first of the org's rows that has a key."""
        where = f"{self._seek(column, value)}{more}{self._in_order(column)}"
        return f"(SELECT {what} FROM {self.table} AS c WHERE {where} LIMIT 1)"

    def new_constants(self, clock: str) -> dict[str, str]:
        """Give the columns that are the same in all new rows of a batch, as SQL; `clock` is the time."""
        values = {"org_id": str(self.org_id), "revision": "1", "created_job_id": str(self.job_id)}
        return values | {"import_job_id": str(self.job_id), "created_at": f"'{clock}'", "updated_at": f"'{clock}'"}

    def new_values(self) -> dict[str, str]:
        """Give the other columns of a new row, as the columns of a batch that they are made of, "" for what it has none of."""
        values = {"match_key": "match_key", "import_row": "row_number", "import_line": "line_number"}
        for field in self.plan.target.model._meta.concrete_fields:
            name = str(field.column)
            if not field.primary_key and name not in self.new_constants("") and name not in values:
                values[name] = name if name in self.plan.columns else ""
        return values

    def copy_new(self, clock: str) -> tuple[str, list[str]]:
        """Write the COPY of new rows, and what each of its columns is, as SQL over a batch."""
        values = dict(self.new_constants(clock))
        for name, source in self.new_values().items():
            blank = self.blank(name)
            value = quote_name(source) if source else "NULL"
            # A text without anything in it needs no sign of its own: that is what FORCE_NOT_NULL is for.
            values[name] = value if blank in ("NULL", "''") else f"COALESCE({value}, {blank})"
        texts = ", ".join(name for name in self.new_values() if self.blank(name) == "''")
        forced = f", FORCE_NOT_NULL ({texts})" if texts else ""
        return f"COPY {self.table} ({', '.join(values)}) FROM STDIN (FORMAT csv{forced})", list(values.values())

    def insert_new(self, clock: str) -> tuple[str, list[str], dict[str, str]]:
        """Write SQLite's INSERT of one new row, which columns of a batch it takes, and what these hold for nothing."""
        values, blanks = dict(self.new_constants(clock)), {}
        for name, source in self.new_values().items():
            blank = self.blank(name)
            values[name] = "?" if source else blank
            if source and blank != "NULL":
                blanks[source] = blank
        taken = [source for source in self.new_values().values() if source]
        return f"INSERT INTO {self.table} ({', '.join(values)}) VALUES ({', '.join(values.values())})", taken, blanks

    def names_key(self, constraint: str | None) -> bool:
        """Tell whether a constraint of Postgres is the one that the first key of an org stands once."""
        return any(
            one.name == constraint and set(getattr(one, "fields", ())) == {"org", "match_key"}
            for one in self.plan.target.model._meta.constraints
        )

    # ---------------------------------------------------------------------------------------- which row is meant

    # Scalar subqueries here are probes of an index, row by row, whatever the planner thinks of the tables' sizes.

    def adopt(self) -> str:
        """Let a row with the first key take over the one that has the second alone, where there is none of the first."""
        (first, field), (second, other) = self.plan.target.keys
        more = f" AND c.{field} = '' AND c.match_key LIKE '{second}:%'"
        alone = self._first(f"c.{other}", f"s.{other}", more, "c.match_key")
        there = self._first("c.match_key", "s.match_key")
        return (
            f"UPDATE {STAGED} AS s SET seek_key = {alone} WHERE s.adopts AND s.match_key LIKE '{first}:%' "
            f"AND {alone} IS NOT NULL AND {there} IS NULL"
        )

    def join_second(self) -> str:
        """Let a row with the second key alone be about the only one that has it."""
        key = self._with_second("min(c.match_key || '')")  # as it is, it would be sought along the index of all keys
        return (
            f"UPDATE {STAGED} AS s SET late = true, match_key = {key} "
            f"WHERE {self._is_second()} AND {self._with_second('count(*)')} = 1"
        )

    def ambiguous(self) -> str:
        """Give the rows with the second key alone that several have, none of them without a first key."""
        own = self._with_second("sum(CASE WHEN c.match_key = s.match_key THEN 1 ELSE 0 END)")
        return (
            f"SELECT s.row_number FROM {STAGED} AS s WHERE {self._is_second()} "
            f"AND {self._with_second('count(*)')} > 1 AND {own} = 0"
        )

    def _is_second(self) -> str:
        """Give the condition for a staged row that has the second key alone."""
        return f"s.match_key LIKE '{self.plan.target.keys[1][0]}:%'"

    def _with_second(self, what: str) -> str:
        """Ask something of the rows of the table that have a staged row's second key."""
        field = self.plan.target.keys[1][1]
        where = f"{self._seek(f'c.{field}', f's.{field}')} AND {_is_filled(f'c.{field}')}"
        rows = f"{self.table} AS c WHERE {where}"
        if self.postgres:  # in a subquery: an order means nothing where rows are counted
            rows = f"(SELECT c.match_key FROM {rows}{self._in_order(f'c.{field}')}) AS c"
        return f"(SELECT {what} FROM {rows})"

    # ---------------------------------------------------------------------------------------- the merge

    def find(self, which: str) -> str:
        """Note which staged rows are there already, and whether anything would change; on Postgres lock those."""
        there = self._seek("c.match_key", "COALESCE(s.seek_key, s.match_key)")
        joined = f"JOIN {self.table} AS c ON {there}"
        if self.postgres:  # a probe for each row, which no planner turns into anything else
            probe = f"SELECT * FROM {self.table} AS c WHERE {there}{self._in_order('c.match_key')} LIMIT 1 FOR NO KEY UPDATE"
            joined = f"CROSS JOIN LATERAL ({probe}) AS c"
        return (
            f"INSERT INTO {FOUND} (row_number, id, differs) SELECT s.row_number, c.id, {self.differs()} "
            f"FROM {STAGED} AS s {joined} WHERE {which}"
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
            # What somebody else wrote between two changes of one job is not the job's to take back.
            "ON CONFLICT (job_id, target, target_id) DO UPDATE SET revision = excluded.revision "
            "WHERE rowmill_oldrow.revision = excluded.revision - 1"
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
            name = str(field.column)
            if name not in names and not field.primary_key:
                names.append(name)
                blank = self._blank(name)
                staged = name in self.plan.columns
                value = f"COALESCE(s.{name}, {blank})" if blank != "NULL" else f"s.{name}"
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
        """Give what a column holds where there is nothing, in its type."""
        cast = self.postgres and isinstance(self.plan.target.model_field(name), JSONField)
        return self.blank(name) + "::jsonb" * cast

    def blank(self, name: str) -> str:
        """Give what a column holds where there is nothing."""
        field = self.plan.target.model_field(name)
        if isinstance(field, JSONField):
            return "'{}'" if field.default is dict else "'[]'"
        return "''" if isinstance(field, TextField) else "NULL"


def _is_filled(column: str) -> str:
    """Give the condition in the words of the index over the filled ones: SQLite takes it for no others."""
    return f"NOT ({column} = '')"
