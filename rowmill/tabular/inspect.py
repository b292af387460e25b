"""The fast path: judge a file (is it sound, where not), account for its every line, then write the columnar copy."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import duckdb

from rowmill.contracts import Balance, Check, Column, Dialect, Finding, Inspection
from rowmill.tabular import load
from rowmill.tabular.beside import Digest, Loader
from rowmill.tabular.clean import Clean
from rowmill.tabular.conditions import note_bad_cells, put_checks
from rowmill.tabular.dialect import SAMPLE_BYTES, SampleRow, detect_shape
from rowmill.tabular.encoding import Encoding, Offsets, detect_encoding, judge_encoding, transcode
from rowmill.tabular.faults import Profile
from rowmill.tabular.header import Header, check_header, count_known, find_header
from rowmill.tabular.ledger import Ledger
from rowmill.tabular.load import Bad
from rowmill.tabular.magic import look_at
from rowmill.tabular.marks import find_marks
from rowmill.tabular.notes import Notes
from rowmill.tabular.records import Shape, read_record
from rowmill.tabular.scan import NotUtf8, Scan

_BLOCK = 1 << 20


@dataclass(frozen=True, slots=True)
class Limits:
    """What reading one file may cost. Units: bytes of memory for the loader, seconds, threads (0 = one per core)."""

    memory_bytes: int = 512_000_000
    seconds: float = 600.0
    threads: int = 0


@dataclass(slots=True)
class Reading:
    """A file that has been judged, with the loader still open on its rows.

    `rows_sql` reads the rows (c1..cN, all VARCHAR) in file order; None where nothing can be read. `trusted`: the header
    is sound and both counts agree, so that the rows hold even where others are broken.
    """

    inspection: Inspection
    con: duckdb.DuckDBPyConnection | None = None
    rows_sql: str | None = None
    bad: Sequence[Bad] = ()
    ledger: Ledger | None = None
    trusted: bool = False


def inspect_table(
    path: Path,
    columns: Sequence[Column],
    checks: Mapping[str, Check],
    *,
    row_checks: Sequence[str] = (),
    table_out: Path | None = None,
    limits: Limits = Limits(),
    on_verdict: Callable[[Inspection], None] = lambda inspection: None,
) -> Inspection:
    """Judge a file; where it is sound and `table_out` is given, write the columnar copy there.

    `on_verdict` hears the verdict before the copy is written, which takes three times as long. The copy exists if and
    only if the file is sound. Runs in the child: memory and time are limited there.
    """
    with open_table(path, columns, checks, row_checks=row_checks, table_out=table_out, limits=limits) as reading:
        inspection = reading.inspection
        on_verdict(inspection)
        if table_out is not None and inspection.verdict == "sound":
            write_copy(reading, table_out)
        return inspection


def write_copy(reading: Reading, table_out: Path) -> None:
    """Write the columnar copy under a temporary name and move it into place."""
    assert reading.con is not None
    assert reading.rows_sql is not None
    assert reading.ledger is not None
    lines = reading.ledger.lines_of_rows()
    unfinished = unfinished_name(table_out)
    try:
        load.write_copy(reading.con, reading.rows_sql, unfinished, len(reading.inspection.header), reading.bad, lines)
        unfinished.replace(table_out)
    finally:
        unfinished.unlink(missing_ok=True)


def unfinished_name(target: Path) -> Path:
    """Give the name under which a file is written until it is whole."""
    return target.with_name(f".{target.name}.unfinished")


@contextmanager
def open_table(
    path: Path,
    columns: Sequence[Column] = (),
    checks: Mapping[str, Check] | None = None,
    *,
    row_checks: Sequence[str] = (),
    table_out: Path | None = None,
    limits: Limits = Limits(),
) -> Iterator[Reading]:
    """Judge a file and keep the loader open on its rows until the block ends; temporary files go with it."""
    begun = time.perf_counter()
    temp = Path(tempfile.mkdtemp(prefix="rowmill-"))
    attempt: _Attempt | None = None
    try:
        attempt = _Attempt(path, columns, checks or {}, row_checks, table_out, limits, temp)
        reading = attempt.judge()
        reading.inspection = replace(reading.inspection, seconds=round(time.perf_counter() - begun, 4))
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
        columns: Sequence[Column],
        checks: Mapping[str, Check],
        row_checks: Sequence[str],
        table_out: Path | None,
        limits: Limits,
        temp: Path,
    ) -> None:
        self.path = path.resolve()
        self.columns, self.checks, self.row_checks = columns, checks, row_checks
        self.table_out, self.limits, self.temp = table_out, limits, temp
        self.con: duckdb.DuckDBPyConnection | None = None
        self.size = self.path.stat().st_size
        self.notes = Notes()
        self.digest = Digest(self.path)
        self.mixed = False
        self.top_sound = False

    def judge(self) -> Reading:
        """Go through the steps; each may be the last."""
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

    def _refuse_whole(self, what: tuple[str, str] | None, head: bytes) -> Reading:
        """Refuse what is no text at all."""
        notes = Notes()
        if what is None:
            notes.add("nul-byte" if head else "empty-file", line=1 if head else None, byte=0 if head else None)
        else:
            notes.add(what[0], line=1, byte=0, what=what[1])
        return Reading(self._inspection(notes.findings(), None, Ledger(notes).balance(), Header(0, (), 0)))

    def _blocks(self) -> Iterator[bytes]:
        """Read the original anew, block by block."""
        with self.path.open("rb") as file:
            while block := file.read(_BLOCK):
                yield block

    def _judge_transcoded(self, encoding: Encoding) -> Reading:
        """Judge a UTF-8 copy of the file; places are told in the original."""
        copy = self.temp / "text"
        bad = transcode(self.path, copy, encoding)
        reading = self._judge_text(copy, encoding, tolerate=True, bad_original=bad)
        offsets = Offsets(copy, encoding)
        told = [f.byte for f in reading.inspection.findings if f.byte is not None]
        original = offsets.original(told)
        findings = tuple(
            replace(f, byte=original[f.byte]) if f.byte is not None and f.code != "encoding-guessed" else f
            for f in reading.inspection.findings
        )
        reading.inspection = replace(reading.inspection, findings=findings)
        return reading

    # ---------------------------------------------------------------------------------- text

    def _judge_text(
        self, source: Path, encoding: Encoding, *, tolerate: bool, bad_original: int | None = None
    ) -> Reading:
        """Judge UTF-8 text: dialect, header, then the scan and the loader beside each other."""
        skip = encoding.skip if source == self.path else 0
        with source.open("rb") as file:
            file.seek(skip)
            sample = file.read(SAMPLE_BYTES)
            whole = not file.read(1)
        shape, rows = detect_shape(sample, whole=whole, known=lambda cells: count_known(self.columns, cells))
        for row in rows:
            row.start, row.end, row.fault_at = row.start + skip, row.end + skip, row.fault_at + skip
        header = find_header(rows, self.columns)
        self.notes = notes = Notes(header.names if header else ())
        if bad_original is not None:
            notes.add("bad-encoding", byte=None, encoding=encoding.name)
        if header is None:
            if sample.strip() and not whole:
                notes.add("row-too-long", line=1, limit=SAMPLE_BYTES)
            else:
                notes.add("empty-file")
            return Reading(self._inspection(notes.findings(), None, Ledger(notes).balance(), Header(0, (), 0)))
        check_header(header, rows, self.columns, notes)
        shape = replace(shape, columns=header.columns, trailing=header.trailing)
        return self._read(source, encoding, shape, rows, header, tolerate)

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
        self._enter_top(ledger, rows, header)
        clean_path = self.temp / "clean"
        copies = [self.path, source, clean_path]
        if self.table_out is not None:
            copies.append(unfinished_name(self.table_out))
        self.con = con = load.connect(copies, self.temp, self.limits.memory_bytes, self.limits.threads)
        header_sound = not notes.has_errors
        conditions = put_checks(self.columns, self.checks, self.row_checks, header, rows)
        loader = Loader(con, conditions.bad)
        clean = Clean(source, clean_path, head.end, load.plain_header(shape), loader.interrupt)
        plain = header.index == 0 and head.lines == 1 and head.newline == shape.newline and not shape.trailing
        plain = plain and header_sound
        if not plain:
            clean.begin()
        else:
            loader.start(load.csv_source(source, shape))
        scan = self._scan(source, encoding, shape, rows, header, ledger, clean, tolerate)
        loader.join()
        if clean.needed:
            loader.run(load.csv_source(clean_path, shape, longest_row_bytes=scan.long_row))
        elif scan.long_row:
            loader.run(load.csv_source(source, shape, longest_row_bytes=scan.long_row))
        self._compare(loader, ledger)
        note_bad_cells(con, conditions, loader, ledger, notes)
        if head.newline not in (shape.newline, b"") and not header.broken:
            scan.note_mixed_newlines(head.line, head.end - len(head.newline))
        if encoding.guessed_at is not None:
            line, byte = encoding.guessed_at
            notes.add("encoding-guessed", line=line, byte=byte, encoding="Windows-1252")
        dialect = Dialect(
            encoding.name,
            encoding.bom,
            chr(shape.delimiter),
            chr(shape.quote) if shape.quote >= 0 else "",
            "mixed" if scan.mixed_noted else shape.newline.decode(),
        )
        if ledger.rows and shape.trailing:
            notes.add("trailing-delimiter", line=head.line + head.lines, byte=head.end)
        inspection = self._inspection(
            notes.findings(), dialect, ledger.balance(), header, loader.rejected, loader.count
        )
        trusted = self.top_sound and not loader.failed and loader.count == ledger.rows
        return Reading(inspection, con, loader.source, conditions.bad, ledger, trusted)

    def _enter_top(self, ledger: Ledger, rows: Sequence[SampleRow], header: Header) -> None:
        """Account for the lines down to the header."""
        for row in rows[: header.index]:
            if row.blank:
                self.notes.add("blank-line", line=ledger.line, byte=row.start)
                ledger.take_blank()
            else:
                self.notes.add("preamble", line=ledger.line, byte=row.start)
                ledger.take_left_out(row.lines)
        head = rows[header.index]
        if header.broken:
            ledger.broken += head.lines
            ledger.line += head.lines
        else:
            ledger.take_header(head.lines)

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
                profile=Profile.of(own[:200]),
                encoding_label={"utf-8": "UTF-8"}.get(encoding.name, encoding.name),
                first_bad_is_mixed=self.mixed and source == self.path,
            )
            try:
                self._check_top(top, head, shape, tolerate)
                self.top_sound = not self.notes.has_errors
                scan.run(head.end)
            except NotUtf8:
                if self.con is not None:
                    self.con.interrupt()
                raise
            finally:
                clean.close()
        return scan

    def _check_top(self, top: bytes, head: SampleRow, shape: Shape, tolerate: bool) -> None:
        """Look for bytes that no header may or should hold. Raises: NotUtf8, unless bad bytes are tolerated."""

        def note(code: str, at: int, column: int | None = None) -> None:
            line = top.count(shape.line_end, 0, at) + 1
            self.notes.add(code, line=line, byte=at, column=column, encoding="UTF-8")

        if (at := top.find(b"\x00")) >= 0:
            note("nul-byte", at)
        try:
            top.decode()
        except UnicodeDecodeError as error:
            if not tolerate:
                raise NotUtf8(error.start) from None
            note("bad-encoding", error.start)
        told = {"nul-byte"}
        for mark in find_marks(b"", top[head.start : head.end], head.start, b"", shape, final=False):
            if mark.code not in told:
                told.add(mark.code)
                note(mark.code, mark.at)
        record = read_record(top, head.start, shape, final=True)
        if record.fault is None and record.bare_quote is not None:
            note("quote-in-unquoted", record.bare_quote[1], record.bare_quote[0])

    def _compare(self, loader: Loader, ledger: Ledger) -> None:
        """Hold the loader's count against the independent one."""
        balance = ledger.balance()
        if loader.failed:
            if not self.notes.has_errors:
                self.notes.add("loader-refuses")
        elif loader.count != ledger.rows or not balance.balances:
            self.notes.add("loader-disagrees", loaded=loader.count, counted=ledger.rows)

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
        unsound = any(f.severity == "error" and f.code not in self.checks for f in findings)
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
        )
