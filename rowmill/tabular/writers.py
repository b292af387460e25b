"""Rows to bytes: results as CSV and XLSX, streamed, and harmless when a spreadsheet opens them."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import BinaryIO

import xlsxwriter

SHEET_ROWS = 1_048_576
CELL_CHARACTERS = 32_767
_LINES_PER_BLOCK = 500
_ACTIVE = tuple("=+-@\t\r\n＝＋－＠")
_PLAIN_NUMBER = re.compile(r"[+-]?\d+(?:\.\d+)?")
# What XML 1.0 cannot hold; a spreadsheet file with it in does not open.
_NOT_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")


def make_harmless(cell: str) -> str:
    """Put an apostrophe before a cell that a spreadsheet would take for a formula; a plain number stays as it is."""
    if cell.startswith(_ACTIVE) and not _PLAIN_NUMBER.fullmatch(cell):
        return "'" + cell
    return cell


def write_csv(
    header: Sequence[str], lines: Iterable[Sequence[str]], *, safe: bool = True, bom: bool = True
) -> Iterator[bytes]:
    """Yield a CSV file block by block: UTF-8, commas, CRLF, quotes where needed.

    `safe`: cells and header names that a spreadsheet would run get a leading apostrophe. It changes data ("+41 ..."), so
    a machine turns it off. `bom`: spreadsheets know UTF-8 by it. Cost: memory stays flat whatever the number of lines.
    """
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\r\n")
    mend = make_harmless if safe else str
    yield b"\xef\xbb\xbf" if bom else b""
    writer.writerow([mend(name) for name in header])
    for number, line in enumerate(lines, 1):
        writer.writerow([mend(cell) for cell in line])
        if number % _LINES_PER_BLOCK == 0:
            yield _drain(text)
    yield _drain(text)


def _drain(text: io.StringIO) -> bytes:
    """Take out what has been written."""
    block = text.getvalue().encode()
    text.seek(0)
    text.truncate()
    return block


def write_xlsx(
    header: Sequence[str],
    lines: Iterable[Sequence[str]],
    out: BinaryIO,
    *,
    sheet: str = "Results",
    sheet_rows: int = SHEET_ROWS,
    account: Sequence[Sequence[str]] = (),
) -> None:
    """Write an XLSX workbook: every cell a text, none a formula or a link; the header again on each further sheet.

    `account`: lines for a last sheet of that name, which says what the rows add up to.

    Cost: memory stays flat; the rows lie in temporary files until the workbook is closed.
    """
    options = {
        "constant_memory": True,
        "strings_to_numbers": False,
        "strings_to_formulas": False,
        "strings_to_urls": False,
    }
    with xlsxwriter.Workbook(out, options) as book:
        book.use_zip64()  # only a sheet of more than 4 GB makes use of it; without it such a one fails at its very end
        bold = book.add_format({"bold": True})
        page, row, sheets = None, sheet_rows, 0
        for line in lines:
            if row >= sheet_rows:
                sheets += 1
                page, row = _new_page(book, sheet, sheets, header, bold), 1
            assert page is not None
            for place, cell in enumerate(line):
                if cell:
                    page.write_string(row, place, fit_cell(cell))
            row += 1
        if page is None:
            _new_page(book, sheet, 1, header, bold)
        if account:
            last = book.add_worksheet("Account")
            last.set_column(0, 0, 30)
            for row, line in enumerate(account):
                for place, cell in enumerate(line):
                    last.write_string(row, place, fit_cell(cell))


def _new_page(
    book: xlsxwriter.Workbook, sheet: str, number: int, header: Sequence[str], bold: object
) -> xlsxwriter.worksheet.Worksheet:
    """Begin a sheet with the header on top, kept in sight."""
    page = book.add_worksheet(sheet if number == 1 else f"{sheet} {number}")
    page.freeze_panes(1, 0)
    for place, name in enumerate(header):
        page.write_string(0, place, fit_cell(name), bold)
    return page


def fit_cell(cell: str) -> str:
    """Leave out what a workbook cannot hold: control characters, and what goes beyond the longest cell there may be."""
    return _NOT_XML.sub("\ufffd", cell)[:CELL_CHARACTERS]
