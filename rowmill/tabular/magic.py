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
)
_BZIP2 = re.compile(rb"BZh[1-9](?:1AY&SY|\x17rE8P\x90)")
_HTML = re.compile(rb"\s*(?:<!--.*?-->\s*)?<(?:!doctype\s+html|html|head|body|table|div|script)\b", re.I | re.S)
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
    return None
