"""The words for each finding of a file's structure: what happened, where, and what to do."""

from __future__ import annotations

from typing import NamedTuple

from rowmill.contracts import Severity


class Wording(NamedTuple):
    """One code: how bad it is, what is said, what the person should do."""

    severity: Severity
    message: str
    mend: str


def _error(message: str, mend: str) -> Wording:
    return Wording("error", message, mend)


def _warning(message: str, mend: str) -> Wording:
    return Wording("warning", message, mend)


_SAVE_AS_CSV = "Open it in the program it comes from and save it as CSV (UTF-8) or .xlsx, then send that file."

WORDING: dict[str, Wording] = {
    # the file as a whole
    "empty-file": _error("{place}: there is nothing in it.", "Export the table again; a header line is needed."),
    "not-a-table": _error("{place} is {what}, not a table that is read here.", _SAVE_AS_CSV),
    "compressed": _error("{place} is compressed ({what}).", "Unpack it and send the CSV file inside."),
    "unknown-id": _error(
        "File contains {unknown} not in patient file.",
        "See what most likely became of each: one mend often brings most of them back.",
    ),
    "key-column-missing": _error(
        "No column of {place} is the {keys}. Rows are told by one of them, so every row would be rejected.",
        "Call the column that holds it {names} and check again; or send the file as it is and say on its page "
        "“Columns” which one it is.",
    ),
    # packed files
    "archive-damaged": _error("{place} is damaged: it cannot be unpacked.", "Save or pack it again, and send that."),
    "archive-entries": _error(
        "{place} is an archive of more than {limit:,} entries.", "Send the one file with the table, by itself."
    ),
    "archive-many": _error(
        "{place} is an archive of {found:,} files; it is read where it holds exactly one.",
        "Send the one file with the table, by itself or packed alone.",
    ),
    "archive-path": _error(
        "{place} is an archive whose file lies in a folder, or is a link.", "Pack the file alone, without its folder."
    ),
    "archive-nested": _error(
        "{place} is an archive inside an archive.", "Unpack it, and send the file with the table."
    ),
    "archive-locked": _error("{place} is an archive with a password.", "Pack the file again without a password."),
    "archive-method": _error(
        "{place} is packed with a method that is not read here.", "Pack it as a plain ZIP, or send it unpacked."
    ),
    "unpacked-too-large": _error(
        "{place} would take more than {limit:,} MB when unpacked.", "Split the table, or send it as CSV, not packed."
    ),
    "unpacked-too-dense": _error(
        "{place} unpacks to more than {limit:,} times its size, as no table does.", "Send it as CSV, not packed."
    ),
    # workbooks
    "workbook-damaged": _error(
        "{place}: the workbook is damaged or not written as Excel writes it.",
        "Open it in Excel, save it, send it again.",
    ),
    "workbook-dtd": _error(
        "{place} is a workbook with a document type inside, as no spreadsheet program writes it.", _SAVE_AS_CSV
    ),
    "workbook-locked": _error(
        "{place} is a workbook with a password.",
        "Open it in Excel, take the password off (File, Info, Protect Workbook), save it and send it again.",
    ),
    "workbook-too-heavy": _error("{place} is a workbook that takes too much memory to read.", _SAVE_AS_CSV),
    "sheet-missing": _error("{place} has no sheet of that name. Its sheets: {names}.", "Name one of these."),
    "sheet-empty": _error("{place} is a workbook without a value on any visible sheet.", "Fill in the table, save it."),
    "sheet-chosen": _warning(
        '{place}: the sheet "{sheet}" is read; there is data on others too: {others}.',
        "To read another one, name it when you send the file, or move it to the front.",
    ),
    "formula-not-computed": _error(
        "{place}: a formula without its value: the program that wrote the file left that to Excel.",
        "Open it in Excel, save it, send it again.",
    ),
    "odd-character": _error("{place}: a character that stands for no sign.", "Type the cell anew."),
    "error-cell": _warning(
        "{place}: an error of the spreadsheet (such as a value that was not found); it counts as that text.",
        "Mend the formula, or write the value.",
    ),
    "long-number": _warning(
        "{place}: a number of 16 digits or more; a spreadsheet keeps 15, so its last digits may be lost.",
        "Format the column as text, then enter the number anew from where it came from.",
    ),
    "date-out-of-calendar": _warning(
        "{place}: formatted as a date, but it is none; the bare number is taken.",
        "Write the date, or change the format.",
    ),
    "hidden-row": _warning("{place} is hidden; it is read like the others.", "Delete the row if it is not meant."),
    "merged-cells": _warning(
        "{place}: merged cells; the value counts for the first of them, the others are empty.",
        "Unmerge them and fill in each cell.",
    ),
    "loader-disagrees": _error(
        "{place}: the loader counts {loaded:,} rows, the independent account {counted:,}. Nothing of it is used.",
        "Export the table again as plain CSV (UTF-8, commas); if it stays so, report it with the file's shape.",
    ),
    "loader-refuses": _error(
        "{place}: the loader cannot read it although its structure looks right. Nothing of it is used.",
        "Export the table again as plain CSV (UTF-8, commas).",
    ),
    "too-many-columns": _error(
        "{place} has {found:,} columns; {limit:,} are the most that can be read.", "Split the table by columns."
    ),
    # encoding and bytes
    "bad-encoding": _error(
        "{place}: bytes that are not {encoding}.",
        "Export the file again as UTF-8, or retype the letters with accents on this line.",
    ),
    "mixed-encodings": _error(
        "{place}: from here on bytes are not {encoding}, before it they are: two encodings in one file.",
        "Convert each part to UTF-8 before joining them.",
    ),
    "encoding-guessed": _warning(
        "{place}: there are few bytes outside ASCII in the file; read as {encoding}, on little evidence.",
        "Look at the letters beyond ASCII on this line; save as UTF-8 to be sure.",
    ),
    "nul-byte": _error("{place}: a NUL byte.", "Export the file again; a NUL means binary data or a damaged disk."),
    "bom-in-middle": _error(
        "{place}: a byte order mark in the middle: two files were joined.",
        "Remove the mark (and the second header, if there is one).",
    ),
    "control-z": _warning("{place}: a control character 0x1A (old end-of-file mark).", "Remove it if unwanted."),
    "typographic-quotes": _warning(
        "{place}: typographic quotes stand where plain quotes belong; they count as part of the cell.",
        'Replace them by plain double quotes (").',
    ),
    # quotes
    "quote-not-closed": _error(
        "{place}: a quote opens and never closes.", "Add a quote at the end of this cell, or remove the first one."
    ),
    "quote-swallows-rows": _error(
        "{place}: a quote opens and never closes; {swallowed:,} rows after it would become part of this cell.",
        "Add a quote at the end of this cell, or remove the first one.",
    ),
    "text-after-quote": _error(
        "{place}: text after a closing quote.", "Put the whole cell inside the quotes, or remove them."
    ),
    "quote-not-escaped": _error(
        "{place}: a quote inside a quoted cell is not doubled.", 'Write it as two quotes ("") inside a quoted cell.'
    ),
    "quote-in-unquoted": _warning(
        "{place}: a quote inside a cell that is not quoted; kept as written.",
        "Quote the whole cell and double the quotes inside, to be safe elsewhere too.",
    ),
    # rows and lines
    "too-few-fields": _error(
        "{place}: {found:,} fields where the header has {wanted:,}.",
        "Add the missing delimiters, or the values that were lost.",
    ),
    "too-many-fields": _error(
        "{place}: {found:,} fields where the header has {wanted:,}.",
        "Quote the cell that holds a delimiter, or remove the surplus one.",
    ),
    "other-delimiter": _error(
        "{place}: this line is written with another delimiter ({other}).", "Write it with the delimiter of the others."
    ),
    "truncated": _error(
        "{place}: the file stops in the middle of this row: {found:,} fields of {wanted:,}.",
        "Export or copy the file again; it was cut short.",
    ),
    "row-too-long": _error(
        "{place}: this row is longer than {limit:,} bytes.", "Look for a quote that is not closed, or shorten the cell."
    ),
    "blank-line": _warning("{place} is blank; it is left out.", "Remove it."),
    "mixed-newlines": _warning(
        "{place} ends another way than the lines before it; it is read as a line of its own.",
        "Save the file with one kind of line ending.",
    ),
    "lone-cr": _warning("{place}: a lone carriage return; {how}.", "Remove it or quote the cell."),
    "trailing-delimiter": _warning(
        "{place}: every row ends in one delimiter too many; the empty field is left out.",
        "Export without the delimiter at the line's end.",
    ),
    "one-column-maybe": _warning(
        "{place}: everything stands in one column, but the lines look like {what}.",
        "If it is more than one column, export it again as CSV with commas; if it is one, nothing has to be done.",
    ),
    "repeated-header": _warning("{place} repeats the header; it is left out.", "Remove it."),
    "preamble": _warning("{place} stands before the header; it is left out.", "Remove the lines above the header."),
    "footer": _warning("{place} is a footer, not a row; it is left out.", "Remove the lines below the table."),
    "footer-maybe": _warning(
        "{place} begins like a line of sums, but may be a row; it is kept as a row.", "Remove it if it is no row."
    ),
    "cut-at-sheet-end": _warning(
        "{place} is the last one that a sheet of {limit:,} rows can hold: what came after it may be cut off.",
        "Count the rows where the table comes from; if some are missing, export it as CSV from there.",
    ),
    # what a spreadsheet has done
    "excel-lost-zeros": _warning(
        "{place}: {damaged:,} of {filled:,} numbers in this column have fewer than {width} digits; "
        "a spreadsheet may have taken their leading zeros.",
        "Nothing is lost: fill them up with zeros to {width} digits, and keep the column as text.",
    ),
    "excel-scientific": _warning(
        "{place}: {damaged:,} of {filled:,} cells in this column became numbers such as 1.23E+15; "
        "digits that these do not show are gone.",
        "A mend writes out those that show all of theirs. The others cannot be undone: export the column again as text.",
    ),
    "excel-rounded": _warning(
        "{place}: {damaged:,} of {long:,} long numbers in this column end in zeros behind the 15th digit, "
        "which is all that a spreadsheet keeps.",
        "This cannot be undone: export the column again as text from where it comes from.",
    ),
    "excel-month-day": _warning(
        "{place}: {damaged:,} of {filled:,} cells in this column are days such as 4-Mar among codes; "
        "a spreadsheet has read them as dates.",
        "What was written is gone (4-Mar may have been 3-4, 4-3 or MAR4): export the column again as text.",
    ),
    "excel-serial-date": _warning(
        "{place}: {damaged:,} of {filled:,} cells in this column are numbers of days such as 45000 where dates belong.",
        "Nothing is lost: a spreadsheet counts the days from 1899-12-30. Format the column as a date and save it again.",
    ),
    "excel-cut-cell": _warning(
        "{place}: {damaged:,} cells in this column are exactly 32,767 characters long, the most that a spreadsheet keeps; "
        "what came after is probably cut off.",
        "This cannot be undone: export the column again from where it comes from.",
    ),
    # header
    "header-missing": _error(
        "{place}: this looks like a row of data where the header should be.", "Add a first line with the column names."
    ),
    "header-broken": _error("{place}: the header has a broken quote.", "Mend the quotes in the header line."),
    "header-too-short": _error(
        "{place}: the header has {found:,} names, the rows have {wanted:,} fields.",
        "Add the names that are missing, or remove the surplus cells.",
    ),
    "header-too-long": _error(
        "{place}: the header has {found:,} names, the rows have {wanted:,} fields.",
        "Remove the surplus names, or add the cells that are missing.",
    ),
    "header-empty": _warning("{place}: this column has no name.", "Give it a name, or remove the column."),
    "header-doubled": _warning(
        "{place}: this name stands twice in the header (first as column {first}).", "Give each column its own name."
    ),
    "column-missing": _error(
        "{place}: the column {needed} is missing.{nearest}", "Add the column, or correct its name in the header."
    ),
    "column-doubled": _error(
        "{place}: the column {needed} stands twice (first as column {first}); it is not clear which one counts.",
        "Rename or remove one of the two.",
    ),
    "odd-value": _warning(
        "{place}: this cell is no {type}, nearly all others of the column are.", "Correct it if it is a slip."
    ),
}
