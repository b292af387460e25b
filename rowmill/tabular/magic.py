"""First look at a file, unpacked: what its first bytes say it is, so that only text goes on to be read as a table."""

from __future__ import annotations

import re

_MAGIC: tuple[tuple[bytes, str, str], ...] = (
    (b"\xfd7zXZ\x00", "compressed", "xz"),
    (b"\x28\xb5\x2f\xfd", "compressed", "Zstandard"),
    (b"7z\xbc\xaf\x27\x1c", "compressed", "7-Zip"),
    (b"Rar!\x1a\x07", "compressed", "RAR"),
    (b"%PDF-", "not-a-table", "a PDF document"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "not-a-table", "an old Excel or Word file (.xls, .doc)"),
    (b"PAR1\x15", "not-a-table", "a Parquet file"),
    (b"SQLite format 3\x00", "not-a-table", "an SQLite database"),
    (b"\x89PNG\r\n", "not-a-table", "a picture (PNG)"),
    (b"\xff\xd8\xff", "not-a-table", "a picture (JPEG)"),
    (b"GIF87a", "not-a-table", "a picture (GIF)"),
    (b"GIF89a", "not-a-table", "a picture (GIF)"),
    (b"\x7fELF", "not-a-table", "a program"),
    (b"{\\rtf", "not-a-table", "a rich text document"),
    (b"ARROW1\x00", "not-a-table", "an Arrow file"),
    (b"Obj\x01", "not-a-table", "an Avro file"),
    (b"\x89HDF\r\n", "not-a-table", "an HDF5 file"),
    (b"RDX2\n", "not-a-table", "an R data file"),
    (b"RDX3\n", "not-a-table", "an R data file"),
    (b"<stata_dta>", "not-a-table", "a Stata file"),
    (b"$FL2@(#)", "not-a-table", "an SPSS file"),
    (b"$FL3@(#)", "not-a-table", "an SPSS file"),
    (b"\x00" * 12 + b"\xc2\xea\x81\x60", "not-a-table", "a SAS data set"),
    (b"HEADER RECORD*******", "not-a-table", "a SAS transport file"),
    (b"\x00\x01\x00\x00Standard ", "not-a-table", "an Access database"),
    (b"II*\x00", "not-a-table", "a picture (TIFF)"),
    (b"MM\x00*", "not-a-table", "a picture (TIFF)"),
    (b"%!PS", "not-a-table", "a PostScript document"),
    (b"version https://git-lfs.", "not-a-table", "a pointer to a large file of git, not the file"),
)
# Interchange of claims and of results, and other text of a known kind: by how it begins.
_TEXTS: tuple[tuple[re.Pattern[bytes], str], ...] = (
    (re.compile(rb"\s*ISA([^A-Za-z0-9\s])(?:00|03)\1.{10}\1"), "an X12 interchange (ISA)"),
    (re.compile(rb"(?:\x0b|\s)*(?:MSH|FHS|BHS)([^A-Za-z0-9\s,;])[^A-Za-z0-9\s]{3,5}\1"), "an HL7 message"),
    (re.compile(rb"\s*(?:UNA.{6}\s*)?UNB\+[A-Z]{4}:"), "an EDIFACT interchange (UNB)"),
    (re.compile(rb"(?:\s|--[^\n]*\n)*--[ ]*(?:MySQL|MariaDB|PostgreSQL)[^,;\t|\n]* dump", re.I), "an SQL dump"),
    (
        re.compile(
            rb"(?>\s+|--[^\n]*\n|/\*.*?\*/;?)*+(?:CREATE (?:TABLE|DATABASE|SCHEMA) [^,]{1,200}[(;]"
            rb"|INSERT INTO [^\n]{1,4000}?\bVALUES\b|DROP (?:TABLE|DATABASE) [^,\n]{1,200};|BEGIN TRANSACTION;)",
            re.I | re.S,
        ),
        "SQL statements",
    ),
    (re.compile(rb"\s*-----BEGIN [A-Z0-9 ]+-----\s*[\r\n]"), "an encrypted message or a key (PEM, PGP)"),
    (re.compile(rb"\s*BEGIN:V(?:CALENDAR|CARD)\s*[\r\n]"), "a calendar or an address card"),
    (
        re.compile(
            rb"(?:Return-Path|Received|From|Date|Subject|Message-ID|MIME-Version): [^\n]*\n(?:[\w-]+: [^\n]*\n|[ \t]"
            rb"[^\n]*\n)*?(?:MIME-Version|Message-ID|Received|Content-Type): ",
            re.I,
        ),
        "an e-mail",
    ),
)
_NEL = re.compile(rb"\xc2\x85|(?<!\xc2)\x85")
_BZIP2 = re.compile(rb"BZh[1-9](?:1AY&SY|\x17rE8P\x90)")
_HTML = re.compile(
    rb"\s*(?:<!--.*?-->\s*)?<(?:!doctype\s+html|html|head|body|table|div|script|meta|title)\b", re.I | re.S
)
_XML = re.compile(rb"\s*<\?xml\b", re.I)
_TAG = re.compile(rb"\s*<[A-Za-z][\w:.-]*(?:\s[^<>]*)?>\s*(?:[\r\n]|<)")
_JSON = re.compile(rb"""\s*(?:\{\s*(?:"[^"\n]{0,200}"\s*:|\})|\[\s*(?:[\[{\d]|"[^"\n]{0,200}"\s*[,\]]|\]))""")


def look_at(head: bytes) -> tuple[str, str] | None:
    """Give (code, what it is) where the first bytes are no table, None where they may be text."""
    for magic, code, what in _MAGIC:
        if head.startswith(magic):
            return code, what
    if _BZIP2.match(head):
        return "compressed", "bzip2"
    text = head.removeprefix(b"\xef\xbb\xbf")
    if _HTML.match(text):
        return "not-a-table", "an HTML page"
    if _XML.match(text) or (_TAG.match(text) and (b"</" in text or b"/>" in text)):
        return "not-a-table", "an XML document"
    if _JSON.match(text):
        return "not-a-table", "JSON"
    for pattern, what in _TEXTS:
        if pattern.match(text):
            return "not-a-table", what
    return _look_deeper(head)


def _look_deeper(head: bytes) -> tuple[str, str] | None:
    """Know what does not tell by how it begins: DICOM, dBase, and lines that end as a mainframe ends them."""
    if head[128:132] == b"DICM":
        return "not-a-table", "a picture (DICOM)"
    if _is_dbase(head):
        return "not-a-table", "a dBase file"
    if b"\n" not in head and b"\r" not in head and _are_lines(_NEL.split(head)):
        return "not-a-table", "a text whose lines end as a mainframe ends them (NEL)"
    return None


def _is_dbase(head: bytes) -> bool:
    """Tell whether this begins as dBase does: its version, a date, its lengths, zeros."""
    date = len(head) >= 32 and head[0] in (0x03, 0x83, 0x8B, 0xF5) and 1 <= head[2] <= 12 and 1 <= head[3] <= 31
    return date and head[12:28].count(0) >= 14


def _are_lines(pieces: list[bytes]) -> bool:
    """Tell whether pieces are the lines of a table: they hold one sign that parts cells, and as many of it each."""
    lines = [p for p in pieces[:-1] if p]
    return len(lines) > 1 and any(
        lines[0].count(sign) and len({p.count(sign) for p in lines}) == 1 for sign in (b",", b";", b"\t", b"|")
    )
