"""Workbooks by hand: parts of XML put into a container, as Excel, Google Sheets, LibreOffice or nobody writes them."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from xml.sax.saxutils import escape

MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
DOC = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
STRICT_MAIN = "http://purl.oclc.org/ooxml/spreadsheetml/main"
STRICT_DOC = "http://purl.oclc.org/ooxml/officeDocument/relationships"
PACKAGE = "http://schemas.openxmlformats.org/package/2006/relationships"
TYPES = '<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types"/>'
TABLE = (
    '<row r="1"><c r="A1" t="s"><v>0</v></c><c r="B1" t="s"><v>1</v></c></row>'
    '<row r="2"><c r="A2" t="s"><v>2</v></c><c r="B2"><v>7</v></c></row>'
)
STRINGS = ("id", "n", "007")


def sheet(rows: str, main: str = MAIN, after: str = "", before: str = "") -> str:
    """Give a worksheet part."""
    return f'<?xml version="1.0"?><worksheet xmlns="{main}">{before}<sheetData>{rows}</sheetData>{after}</worksheet>'


def strings(texts: tuple[str, ...], main: str = MAIN) -> str:
    """Give a part of shared texts."""
    items = "".join(f'<si><t xml:space="preserve">{escape(t)}</t></si>' for t in texts)
    return f'<sst xmlns="{main}">{items}</sst>'


def styles(*codes: str, main: str = MAIN) -> str:
    """Give a part of styles: style 0 is General, style i the i-th code."""
    formats = "".join(
        f'<numFmt numFmtId="{164 + i}" formatCode="{escape(c, {chr(34): "&quot;"})}"/>' for i, c in enumerate(codes)
    )
    cells = '<xf numFmtId="0"/>' + "".join(f'<xf numFmtId="{164 + i}"/>' for i in range(len(codes)))
    return f'<styleSheet xmlns="{main}"><numFmts>{formats}</numFmts><cellXfs>{cells}</cellXfs></styleSheet>'


def parts(
    *sheets: str,
    texts: tuple[str, ...] = STRINGS,
    styling: str = "",
    main: str = MAIN,
    doc: str = DOC,
    base: str = "",
    book: str = "",
    states: Mapping[int, str] | None = None,
) -> dict[str, str]:
    """Give the parts of a workbook with these worksheet parts. `base` stands before every target of a relationship."""
    listed, related = "", ""
    for i, _ in enumerate(sheets, 1):
        state = f' state="{states[i]}"' if states and i in states else ""
        listed += f'<sheet name="Sheet{i}" sheetId="{i}"{state} r:id="rId{i}"/>'
        related += f'<Relationship Id="rId{i}" Type="{doc}/worksheet" Target="{base}worksheets/sheet{i}.xml"/>'
    related += f'<Relationship Id="s" Type="{doc}/sharedStrings" Target="{base}sharedStrings.xml"/>'
    related += f'<Relationship Id="y" Type="{doc}/styles" Target="{base}styles.xml"/>'
    root = f'<Relationship Id="w" Type="{doc}/officeDocument" Target="{"/xl/" if base else "xl/"}workbook.xml"/>'
    found = {
        "[Content_Types].xml": TYPES,
        "_rels/.rels": f'<Relationships xmlns="{PACKAGE}">{root}</Relationships>',
        "xl/workbook.xml": f'<workbook xmlns="{main}" xmlns:r="{doc}">{book}<sheets>{listed}</sheets></workbook>',
        "xl/_rels/workbook.xml.rels": f'<Relationships xmlns="{PACKAGE}">{related}</Relationships>',
        "xl/sharedStrings.xml": strings(texts, main),
        "xl/styles.xml": styling or styles(main=main),
    }
    return found | {f"xl/worksheets/sheet{i}.xml": part for i, part in enumerate(sheets, 1)}


def pack(members: Mapping[str, str | bytes]) -> bytes:
    """Put members into a ZIP."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(zipfile.ZipInfo(name), data, zipfile.ZIP_DEFLATED)
    return out.getvalue()


def workbook(rows: str = TABLE, **options: object) -> bytes:
    """Give a workbook of one sheet with these rows."""
    return pack(parts(sheet(rows), **options))  # type: ignore[arg-type]


def row(number: int, *cells: str) -> str:
    """Give a row of inline texts."""
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    inside = "".join(
        f'<c r="{letters[i]}{number}" t="inlineStr"><is><t>{escape(c)}</t></is></c>' for i, c in enumerate(cells) if c
    )
    return f'<row r="{number}">{inside}</row>'
