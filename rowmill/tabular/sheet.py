"""One sheet, read as a stream: every row with its number and its cells as fields, and the places that need a word."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from rowmill.tabular.archive import Refused
from rowmill.tabular.fields import as_field, unescape
from rowmill.tabular.formats import CANONICAL, EXACT, OutOfCalendar, Show, make_show, moment_of, show_plain
from rowmill.tabular.markup import Stop, read_markup
from rowmill.tabular.moments import Moment, show_iso
from rowmill.tabular.notes import SHOWN_PER_CODE
from rowmill.tabular.workbook import Sheet, Strings, Workbook

MAX_ROWS, MAX_COLUMNS = 1_048_576, 16_384
# Excel takes 32,767 characters; adding to a longer and longer text would take ever longer.
MAX_CELL = 1 << 20
_DIGITS = "0123456789"
_REMEMBERED = 50_000

Emit = Callable[[int, list[str]], None]


@dataclass(slots=True)
class Places:
    """Where each thing was met: the first hundred lines of a code and column, and how many there are."""

    lines: dict[tuple[str, int | None], list[int]] = field(default_factory=dict)
    counts: dict[tuple[str, int | None], int] = field(default_factory=dict)

    def add(self, code: str, line: int, column: int | None = None) -> None:
        """Note a place."""
        key = code, column
        self.counts[key] = self.counts.get(key, 0) + 1
        lines = self.lines.setdefault(key, [])
        if len(lines) < SHOWN_PER_CODE:
            lines.append(line)


class Styles:
    """How each cell style shows a number; worked out when the first cell has it."""

    def __init__(self, codes: list[tuple[int, str | None]], from_1904: bool) -> None:
        self._codes = codes
        self._from_1904 = from_1904
        self.plain: set[str] = set()
        self._shows: dict[str, Show] = {}
        self._shown: dict[tuple[str, str], str] = {}

    def show(self, style: str, number: str) -> str:
        """Show a number in a style. Raises: ValueError, OutOfCalendar, Refused for a style that is not there."""
        show = self._shows.get(style)
        if show is None:
            show = self._shows[style] = self._make(style)
        if show is show_plain:
            self.plain.add(style)
            return show_plain(number)
        key = style, number
        shown = self._shown.get(key)
        if shown is None:
            if len(self._shown) >= _REMEMBERED:
                self._shown.clear()
            shown = self._shown[key] = show(number)
        return shown

    def moment(self, style: str) -> Moment | None:
        """Tell what a style shows of a date that is written as text."""
        return moment_of(*self._find(style))

    def _make(self, style: str) -> Show:
        """Make what shows numbers in a style."""
        return make_show(*self._find(style), self._from_1904)

    def _find(self, style: str) -> tuple[int, str | None]:
        """Find a style's format. A workbook without styles has the one that is numbered 0."""
        number = int(style) if style.isascii() and style.isdigit() else -1
        if number == 0 and not self._codes:
            return 0, None
        if not 0 <= number < len(self._codes):
            raise Refused("workbook-damaged")
        return self._codes[number]


class SheetReader:
    """Hears the elements of a sheet and emits each row that has a value."""

    def __init__(self, book: Workbook, strings: Strings, styles: Styles, places: Places, emit: Emit) -> None:
        self._strings, self._styles, self.places, self._emit = strings, styles, places, emit
        self._uncomputed = book.uncomputed
        self._columns: dict[str, int] = {}
        self._known: dict[str, str] = {}
        self._row = self._column = 0
        self._row_text = ""
        self._hidden = self._formula = self._phonetic = self._listening = False
        self._cells: list[str] = []
        self._cell: dict[str, str] | None = None
        self._value = ""
        self._tag_c = self._tag_v = self._tag_row = ""
        self._space = ""

    def start(self, name: str, attributes: dict[str, str]) -> None:
        """Hear an element begin."""
        if name == self._tag_c:
            self._cell, self._value, self._formula = attributes, "", False
        elif name == self._tag_v:
            self._listening = True
        elif name == self._tag_row:
            self._begin_row(attributes)
        elif name.startswith(self._space):
            self._start_other(name[len(self._space) :], attributes)

    def end(self, name: str) -> None:
        """Hear an element end."""
        if name == self._tag_v:
            self._listening = False
        elif name == self._tag_c:
            self._end_cell()
        elif name == self._tag_row:
            self._end_row()
        elif self._listening or self._phonetic:
            self._listening = False
            self._phonetic = self._phonetic and not name.endswith("rPh")

    def text(self, data: str) -> None:
        """Hear text."""
        if self._listening:
            self._value += data
            if len(self._value) > MAX_CELL:
                raise Refused("workbook-too-heavy")

    def _start_other(self, local: str, attributes: dict[str, str]) -> None:
        """Hear what is rarer than cells and values."""
        if not self._tag_c:
            # The first element of all tells the namespace of the rest.
            self._space = local[: -len("worksheet")] if local.endswith("worksheet") else ""
            if not local.endswith("worksheet"):
                raise Refused("workbook-damaged")
            self._tag_c, self._tag_v, self._tag_row = (self._space + tag for tag in ("c", "v", "row"))
        elif local == "t" and self._cell is not None:
            self._listening = not self._phonetic
        elif local == "rPh":
            self._phonetic = True
        elif local == "f":
            self._formula = True
        elif local == "mergeCell":
            self._note_merge(attributes.get("ref", ""))

    def _note_merge(self, ref: str) -> None:
        """Note merged cells at their first row."""
        first = ref.partition(":")[0].lstrip("ABCDEFGHIJKLMNOPQRSTUVWXYZ$")
        if first.isascii() and first.isdigit() and len(first) < 8:
            self.places.add("merged-cells", int(first))

    # ------------------------------------------------------------------------------------ rows and cells

    def _begin_row(self, attributes: dict[str, str]) -> None:
        """Begin a row: the one that it says, or the next. Raises: Refused where rows are out of order."""
        text = attributes.get("r", "")
        number = int(text) if text.isascii() and text.isdigit() and len(text) < 8 else 0 if text else self._row + 1
        if not self._row < number <= MAX_ROWS:
            raise Refused("workbook-damaged", line=self._row or None)
        self._row, self._row_text, self._column = number, str(number), 0
        self._hidden = attributes.get("hidden") in ("1", "true")
        self._cells = []

    def _end_row(self) -> None:
        """Give the row away, unless nothing is in it."""
        cells = self._cells
        while cells and not cells[-1]:
            cells.pop()
        if cells:
            if self._hidden:
                self.places.add("hidden-row", self._row)
            self._emit(self._row, cells)

    def _end_cell(self) -> None:
        """Put the cell's field into its column."""
        cell, row_text = self._cell, self._row_text
        if cell is None:
            raise Refused("workbook-damaged", line=self._row or None)
        self._cell = None
        ref = cell.get("r")
        if ref is None:
            column = self._column + 1
        else:
            letters = ref.rstrip(_DIGITS)
            column = self._columns.get(letters) or self._learn(letters)
            if ref[len(letters) :] != row_text:
                raise Refused("workbook-damaged", line=self._row or None)
        if not self._column < column <= MAX_COLUMNS:
            raise Refused("workbook-damaged", line=self._row or None)
        self._column = column
        if not self._value and not self._formula:
            return
        field = self._field(cell, column)
        if field:
            cells = self._cells
            if len(cells) < column - 1:
                cells.extend([""] * (column - 1 - len(cells)))
            cells.append(field)

    def _learn(self, letters: str) -> int:
        """Give the column of letters such as AB, and remember it."""
        column = self._columns[letters] = _column_number(letters)
        return column

    def _field(self, cell: dict[str, str], column: int) -> str:
        """Give the cell as a field; the places that need a word are noted."""
        kind, value = cell.get("t"), self._value
        if self._formula:
            self._check_formula(kind, value, column)
        if not value:
            return ""
        if kind == "s":
            return self._known.get(value) or self._shared(value, column)
        if kind is None or kind == "n":
            if len(value) < 16 and cell.get("s", "0") in self._styles.plain and CANONICAL.fullmatch(value):
                return value
            return self._show_number(cell, value, column)
        if kind == "str" or kind == "inlineStr":
            field, odd = as_field(unescape(value))
            if odd:
                self.places.add("odd-character", self._row, column)
            return field
        return self._rare(kind, cell, value, column)

    def _shared(self, value: str, column: int) -> str:
        """Look up a shared text. Raises: Refused where there is none."""
        try:
            number = int(value) if value.isascii() and value.isdigit() else -1
            if number < 0:
                raise IndexError
            field = self._strings.get(number)
        except (IndexError, ValueError):
            raise Refused("workbook-damaged", line=self._row, column=column) from None
        if number in self._strings.odd:
            self.places.add("odd-character", self._row, column)
        elif len(self._known) < _REMEMBERED and len(field) < 100:
            self._known[value] = field
        return field

    def _show_number(self, cell: dict[str, str], value: str, column: int) -> str:
        """Show a number as its format says. Raises: Refused where it is none."""
        try:
            value = value.strip()
            if len(value) > 15 and abs(float(value)) >= EXACT:
                self.places.add("long-number", self._row, column)
            return self._styles.show(cell.get("s", "0"), value)
        except (OutOfCalendar, OverflowError):
            self.places.add("date-out-of-calendar", self._row, column)
            return show_plain(value)
        except ValueError:
            raise Refused("workbook-damaged", line=self._row, column=column) from None

    def _rare(self, kind: str, cell: dict[str, str], value: str, column: int) -> str:
        """Give a boolean, an error, or a date written as text. Raises: Refused for any other type."""
        if kind == "b" and value in ("0", "1", "true", "false"):
            return "TRUE" if value in ("1", "true") else "FALSE"
        if kind == "e":
            self.places.add("error-cell", self._row, column)
            return as_field(value)[0]
        if kind == "d":
            try:
                return show_iso(value, self._styles.moment(cell.get("s", "0")))
            except ValueError:
                pass
        raise Refused("workbook-damaged", line=self._row, column=column)

    def _check_formula(self, kind: str | None, value: str, column: int) -> None:
        """Note a formula whose value nobody has worked out.

        XlsxWriter and its like put 0 beside each formula and ask Excel to compute it when the file is opened.
        """
        nothing = not value and kind != "str"
        if nothing or (self._uncomputed and value == "0" and kind in (None, "n")):
            self.places.add("formula-not-computed", self._row, column)


def _column_number(letters: str) -> int:
    """Give the number of a column's letters. Raises: Refused for what is none."""
    number = 0
    for letter in letters:
        if not "A" <= letter <= "Z" or len(letters) > 3:
            raise Refused("workbook-damaged")
        number = number * 26 + ord(letter) - 64
    if not letters:
        raise Refused("workbook-damaged")
    return number


def read_sheet(book: Workbook, sheet: Sheet, strings: Strings, styles: Styles, emit: Emit) -> Places:
    """Read a sheet; `emit` hears every row with a value: its number, its fields up to the last filled one. Raises: Refused."""
    reader = SheetReader(book, strings, styles, Places(), emit)
    read_markup(book.archive.blocks(sheet.part), reader.start, reader.end, reader.text, book.watch)
    return reader.places


def has_values(book: Workbook, sheet: Sheet) -> bool:
    """Tell whether any cell of a sheet holds something. Cost: stops at the first."""
    found = False

    def start(name: str, attributes: dict[str, str]) -> None:
        nonlocal found
        if name.rpartition(" ")[2] in ("v", "is"):
            found = True
            raise Stop

    read_markup(book.archive.blocks(sheet.part), start, lambda name: None, lambda data: None, book.watch)
    return found
