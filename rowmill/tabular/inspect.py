"""The fast path: judge a file (is it sound, where not), account for its every line, then write the columnar copy."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import duckdb

from rowmill.contracts import NO_RULES, Balance, Dialect, Finding, Inspection, Rules
from rowmill.tabular import load
from rowmill.tabular.archive import Refused
from rowmill.tabular.beside import Digest, Loader, compare_counts
from rowmill.tabular.causes import find_causes
from rowmill.tabular.clean import Clean
from rowmill.tabular.conditions import note_bad_cells, put_checks
from rowmill.tabular.damage_map import with_map
from rowmill.tabular.dialect import SAMPLE_BYTES, SampleRow, detect_shape, read_sample, tell_dialect
from rowmill.tabular.encoding import LABELS, Encoding, Offsets, detect_encoding, judge_encoding, transcode
from rowmill.tabular.excel_damage import add_excel_damage
from rowmill.tabular.faults import Profile
from rowmill.tabular.fields import restore, restoring_source
from rowmill.tabular.first_look import FirstLook
from rowmill.tabular.flatten import Table
from rowmill.tabular.header import Header, check_header, count_known, find_header
from rowmill.tabular.ledger import Ledger
from rowmill.tabular.magic import look_at
from rowmill.tabular.notes import Notes
from rowmill.tabular.one_column import note_more
from rowmill.tabular.reading import DEFAULT_LIMITS, Limits, Reading, write_copy
from rowmill.tabular.records import Shape
from rowmill.tabular.scan import NotUtf8, Scan
from rowmill.tabular.source import note_full_sheet, note_table, open_source
from rowmill.tabular.top import check_top, enter_top
from rowmill.tabular.unfinished import unfinished_name

_BLOCK = 1 << 20
OnStage = Callable[[str, Inspection], None]


def inspect_table(
    path: Path,
    rules: Rules = NO_RULES,
    *,
    table_out: Path | None = None,
    limits: Limits = DEFAULT_LIMITS,
    on_verdict: Callable[[Inspection], None] = lambda inspection: None,
    on_progress: Callable[[int], None] = lambda scanned_bytes: None,
    thorough: bool = False,
) -> Inspection:
    """Judge a file; where it is sound and `table_out` is given, write the columnar copy there.

    `on_verdict` hears the verdict before the copy is written, which takes three times as long. The copy exists if and
    only if the file is sound. Runs in the child: memory and time are limited there. `thorough`: as for `open_table`.
    """
    with open_table(
        path, rules, table_out=table_out, limits=limits, on_progress=on_progress, thorough=thorough
    ) as reading:
        inspection = reading.inspection
        on_verdict(inspection)
        if table_out is not None and inspection.verdict == "sound":
            write_copy(reading, table_out)
        return inspection


@contextmanager
def open_table(
    path: Path,
    rules: Rules = NO_RULES,
    *,
    table_out: Path | None = None,
    limits: Limits = DEFAULT_LIMITS,
    on_progress: Callable[[int], None] = lambda scanned_bytes: None,
    on_stage: OnStage = lambda stage, so_far: None,
    thorough: bool = False,
) -> Iterator[Reading]:
    """Judge a file and keep the loader open on its rows until the block ends; temporary files go with it.

    `on_progress` hears, a few times a second and at the end, how many bytes have been scanned, out of the file's size; where
    the text is longer or shorter than the file, as large a part of it. `on_stage` hears "metadata" with the dialect and the
    header, then "integrity" with the account and the faults of the structure, as soon as each is known; where a file turns
    out to be written otherwise than its beginning says, it hears them again. The hash comes at the end. `thorough`: look for
    what a spreadsheet has damaged too.
    """
    begun = time.perf_counter()
    temp = Path(tempfile.mkdtemp(prefix="rowmill-"))
    attempt: _Attempt | None = None
    try:
        attempt = _Attempt(path, rules, table_out, limits, temp, on_progress)
        attempt.on_stage, attempt.thorough = on_stage, thorough
        reading = attempt.judge()
        if thorough:
            add_excel_damage(reading)
        found = replace(reading.inspection, causes=find_causes(reading, rules.columns))
        reading.inspection = replace(found, seconds=round(time.perf_counter() - begun, 4))
        yield reading
    finally:
        if attempt is not None and attempt.con is not None:
            attempt.con.close()
        shutil.rmtree(temp, ignore_errors=True)


class _Attempt:
    """One judging of one file, from its first byte to the verdict."""

    def __init__(
        self,
        path: Path,
        rules: Rules,
        table_out: Path | None,
        limits: Limits,
        temp: Path,
        on_progress: Callable[[int], None],
    ) -> None:
        self.on_progress = on_progress
        self.on_stage: OnStage = lambda stage, so_far: None
        self.told, self.thorough = 0, False
        self.path = path.resolve()
        self.table: Table | None = None
        self.rules, self.table_out, self.limits, self.temp = rules, table_out, limits, temp
        self.con: duckdb.DuckDBPyConnection | None = None
        self.size = self.path.stat().st_size
        self.notes = Notes()
        self.digest = Digest(self.path)
        self.mixed = False
        self.unreadable: Sequence[int] = ()
        self.top_sound = False

    def judge(self) -> Reading:
        """Go through the steps; each may be the last."""
        try:
            source = open_source(self.path, self.temp, self.rules.sheet)
        except Refused as refused:
            return self._refuse(refused.code, line=refused.line, column=refused.column, **refused.words)
        self.path, self.table = source.path, source.table
        if self.table is not None:
            return self._judge_table()
        with self.path.open("rb") as file:
            head = file.read(1 << 16)
        what = look_at(head)
        if not head.strip(b"\x00") or what is not None:
            return self._refuse_whole(what, head)
        encoding = detect_encoding(head)
        if encoding.name != "utf-8":
            return self._judge_transcoded(encoding)
        try:
            return self._judge_text(self.path, encoding, tolerate=False)
        except NotUtf8:
            pass
        judged, self.mixed = judge_encoding(self._blocks())
        if judged is not None:
            return self._judge_transcoded(judged)
        return self._judge_text(self.path, encoding, tolerate=True)

    def _judge_table(self) -> Reading:
        """Judge what was written of a sheet. Bytes are told of none: they would be another file's."""
        reading = self._judge_text(self.path, Encoding("utf-8"), tolerate=False)
        findings = tuple(replace(finding, byte=None) for finding in reading.inspection.findings)
        places = tuple((place[0], place[1], None) for place in reading.inspection.places)
        reading.inspection = replace(reading.inspection, findings=findings, places=places, marks=(), dialect=None)
        return reading

    def _refuse_whole(self, what: tuple[str, str] | None, head: bytes) -> Reading:
        """Refuse what is no text at all."""
        if what is None:
            code = "nul-byte" if head else "empty-file"
            return self._refuse(code, line=1 if head else None, byte=0 if head else None)
        return self._refuse(what[0], line=1, byte=0, what=what[1])

    def _refuse(self, code: str, **place_and_words: Any) -> Reading:
        """Refuse a file for one thing, before it is read as a table."""
        notes = Notes()
        notes.add(code, **place_and_words)
        return Reading(self._inspection(notes.findings(), None, Ledger(notes).balance(), Header(0, (), 0)))

    def _blocks(self) -> Iterator[bytes]:
        """Read the original anew, block by block."""
        with self.path.open("rb") as file:
            while block := file.read(_BLOCK):
                yield block

    def _judge_transcoded(self, encoding: Encoding) -> Reading:
        """Judge a UTF-8 copy of the file; places are told in the original."""
        copy = self.temp / "text"
        self.unreadable = transcode(self.path, copy, encoding)
        reading = self._judge_text(copy, encoding, tolerate=True)
        offsets = Offsets(copy, encoding)
        known = reading.inspection
        told = [f.byte for f in known.findings if f.byte is not None]
        told += [byte for _, _, byte in known.places if byte is not None] + [byte for _, byte in known.marks]
        original = offsets.original(told)
        findings = tuple(
            replace(f, byte=original[f.byte]) if f.byte is not None and f.code != "encoding-guessed" else f
            for f in known.findings
        )
        places = tuple((s, line, None if byte is None else original[byte]) for s, line, byte in known.places)
        marks = tuple((line, original[byte]) for line, byte in known.marks)
        reading.inspection = replace(known, findings=findings, places=places, marks=marks)
        return reading

    # ---------------------------------------------------------------------------------- text

    def _judge_text(self, source: Path, encoding: Encoding, *, tolerate: bool) -> Reading:
        """Judge UTF-8 text: dialect, header, then the scan and the loader beside each other."""
        skip = encoding.skip if source == self.path else 0
        with source.open("rb") as file:
            file.seek(skip)
            sample = file.read(SAMPLE_BYTES)
            whole = not file.read(1)
        shape, rows = self._shape(sample, whole)
        for row in rows:
            row.start, row.end, row.fault_at = row.start + skip, row.end + skip, row.fault_at + skip
        header = find_header(rows, self.rules.columns)
        self.notes = notes = Notes(header.names if header else (), unit="Sheet row" if self.table else "Line")
        if self.table is not None:
            note_table(self.table, notes)
        if header is None:
            if sample.strip() and not whole:
                notes.add("row-too-long", line=1, limit=SAMPLE_BYTES)
            else:
                notes.add("empty-file")
            return Reading(self._inspection(notes.findings(), None, Ledger(notes).balance(), Header(0, (), 0)))
        check_header(header, rows, self.rules.columns, notes)
        if self.table is None:
            note_more(header, rows, notes)
        shape = replace(shape, columns=header.columns, trailing=header.trailing)
        self._tell_stage("metadata", encoding, shape, header, Balance())
        return self._read(source, encoding, shape, rows, header, tolerate)

    def _shape(self, sample: bytes, whole: bool) -> tuple[Shape, list[SampleRow]]:
        """Give the dialect and the sample's rows: detected in a file, known of a table that was written of a sheet."""
        if self.table is None:
            return detect_shape(sample, whole=whole, known=lambda cells: count_known(self.rules.columns, cells))
        shape = Shape(ord(","), ord('"'), b"\n", self.table.width)
        rows = read_sample(sample, shape, whole=whole)
        for row in rows:
            row.cells = [restore(cell) for cell in row.cells]
        return shape, rows

    def _loader_source(self, paths: Sequence[Path], shape: Shape, longest_row_bytes: int = 0) -> str:
        """Give the SQL that reads the rows, cells as they were."""
        source = load.csv_source(paths, shape, longest_row_bytes=longest_row_bytes)
        if self.table is None or not self.table.stand_ins:
            return source
        return restoring_source(source, shape.columns)

    def _read(
        self,
        source: Path,
        encoding: Encoding,
        shape: Shape,
        rows: Sequence[SampleRow],
        header: Header,
        tolerate: bool,
    ) -> Reading:
        """Scan and load, compare the two counts, and say the verdict."""
        notes, head = self.notes, rows[header.index]
        ledger = Ledger(notes)
        enter_top(ledger, rows, header)
        copies = [self.path, source, *([unfinished_name(self.table_out)] if self.table_out is not None else [])]
        limits = self.limits.narrowed(shape.columns)
        self.con = con = load.connect(copies, self.temp, limits.memory_bytes, limits.threads)
        header_sound = not notes.has_errors
        conditions = put_checks(self.rules, header, rows)
        look = FirstLook(header.names) if self.thorough else None
        rows_about = source.stat().st_size * len(rows) // max(1, rows[-1].end)
        loader = Loader(con, conditions.bad, header.mapping.get(self.rules.id_column), look, rows_about)
        clean = Clean(
            source,
            self.temp / "clean",
            head.end,
            load.plain_header(shape),
            loader.follow,
            lambda part: loader.take(self._loader_source([part], shape)),
        )
        plain = header.index == 0 and head.lines == 1 and head.newline == shape.newline and not shape.trailing
        plain = plain and header_sound
        if not plain:
            clean.begin()
        else:
            loader.start(self._loader_source([source], shape))
        try:
            scan = self._scan(source, encoding, shape, rows, header, ledger, clean, tolerate)
        except BaseException:  # not UTF-8, or the disk is full: the connection is closed behind no thread's back
            loader.stop()
            raise
        loader.join()
        files = clean.parts or [source]
        if scan.long_row or (clean.needed and not loader.by_parts):
            loader.run(self._loader_source(files, shape, scan.long_row))
        loader.source = self._loader_source(files, shape, scan.long_row)
        compare_counts(loader, ledger, notes)
        self._tell_stage("integrity", encoding, shape, header, ledger.balance())
        note_bad_cells(conditions, loader, ledger, notes)
        if head.newline not in (shape.newline, b"") and not header.broken:
            scan.note_mixed_newlines(head.line, head.end - len(head.newline))
        if encoding.guessed_at is not None:
            line, byte = encoding.guessed_at
            notes.add("encoding-guessed", line=line, byte=byte, encoding=LABELS[encoding.name])
        dialect = tell_dialect(encoding, shape, mixed=scan.mixed_noted)
        if ledger.rows and shape.trailing:
            notes.add("trailing-delimiter", line=head.line + head.lines, byte=head.end)
        note_full_sheet(ledger.balance(), notes)
        inspection = self._inspection(
            notes.findings(), dialect, ledger.balance(), header, loader.rejected, loader.count
        )
        trusted = self.top_sound and not loader.failed and loader.count == ledger.rows
        size = source.stat().st_size
        reading = Reading(
            inspection, con, loader.source, loader.found, ledger, size, trusted, source, shape, loader.listed
        )
        reading.ids_of, reading.look = loader.gathered, look
        reading.inspection = replace(with_map(reading), distinct_ids=loader.distinct_ids)
        return reading

    def _scan(
        self,
        source: Path,
        encoding: Encoding,
        shape: Shape,
        rows: Sequence[SampleRow],
        header: Header,
        ledger: Ledger,
        clean: Clean,
        tolerate: bool,
    ) -> Scan:
        """Run the independent account; the hash of the original goes along where the original is what is read."""
        head = rows[header.index]
        own = [r.cells for r in rows[header.index + 1 :] if len(r.cells) == shape.columns and not r.fault]
        with source.open("rb") as file:
            top = file.read(head.end)
            line = top[head.start : head.end].rstrip(b"\r\n")
            scan = Scan(
                file,
                shape,
                ledger,
                clean,
                line if head.lines == 1 and not header.broken else b"",
                tolerate_bad_bytes=tolerate,
                unreadable=self.unreadable,
                profile=Profile(own[:200]),
                encoding_label={"utf-8": "UTF-8"}.get(encoding.name, encoding.name),
                first_bad_is_mixed=self.mixed and source == self.path,
                on_progress=lambda reached: self._tell_progress(reached, source),
            )
            try:
                check_top(top, head, shape, self.notes, tolerate, [at for at in self.unreadable[:1] if at < head.end])
                self.top_sound = not self.notes.has_errors
                scan.run(head.end)
            finally:
                clean.close()
        return scan

    def _tell_progress(self, reached: int, source: Path) -> None:
        """Say how far the scan is, as a part of the file that was sent; a second reading does not take it back."""
        self.told = max(self.told, reached * self.size // max(1, source.stat().st_size))
        self.on_progress(self.told)

    def _tell_stage(self, stage: str, encoding: Encoding, shape: Shape, header: Header, balance: Balance) -> None:
        """Say what is known by now; a place in a decoded or unpacked text is told by its line alone."""
        dialect = None if self.table is not None else tell_dialect(encoding, shape)
        found = [f for f in self.notes.findings() if stage == "integrity" or f.severity == "error"]
        if encoding.name != "utf-8" or self.table is not None:
            found = [replace(f, byte=None) for f in found]
        sheet = self.table.sheet if self.table else ""
        word: Literal["sound", "unsound"] = "unsound" if self.notes.has_errors else "sound"
        so_far = Inspection(word, dialect, balance, header.names, dict(header.mapping), tuple(found), balance.rows)
        self.on_stage(stage, replace(so_far, size_bytes=self.size, sheet=sheet))

    def _inspection(
        self,
        findings: tuple[Finding, ...],
        dialect: Dialect | None,
        balance: Balance,
        header: Header,
        rejected: int = 0,
        count: int = 0,
    ) -> Inspection:
        """Put the verdict together: a bad cell rejects its row, a broken structure the file."""
        unsound = any(f.severity == "error" and f.code not in self.rules.checks for f in findings)
        return Inspection(
            "unsound" if unsound else "sound",
            dialect,
            balance,
            header.names,
            dict(header.mapping),
            findings,
            count if not unsound else balance.rows,
            rejected,
            self.size,
            self.digest.hexdigest(),
            sheet=self.table.sheet if self.table else "",
        )
