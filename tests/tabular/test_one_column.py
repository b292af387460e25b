"""A table of one column: told where its lines plainly look like several columns or like no table, and never else."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path

import pytest

from rowmill.tabular.inspect import inspect_table

PEOPLE = ("Ann Lee", "Bob Ray", "Carla", "Dmitri", "Eve Day", "Zoe")
BYTES = b"".join(hashlib.sha256(bytes([n])).digest() for n in range(30))
BASE64 = base64.b64encode(BYTES).decode()
TOLD = {
    "two colons": ("id::name::dob\n" + "1::Ann::1980\n" * 5, 'apart by "::"'),
    "colons": ("id:name:dob\n" + "1:Ann:1980\n" * 5, 'apart by ":"'),
    "section signs": ("id§name\n" + "1§Ann\n" * 5, 'apart by "§"'),
    "a control character": ("id\x1ename\n" + "1\x1eAnn\n" * 5, "apart by the control character 0x1E"),
    "fixed width": (
        "ID     NAME        DOB\n" + "".join(f"{n:<7}{name:<12}1980-01-0{n}\n" for n, name in enumerate(PEOPLE, 1)),
        "fixed width",
    ),
    "Base64": ("".join(BASE64[n : n + 76] + "\n" for n in range(0, len(BASE64), 76)), "Base64"),
    "Base64 in one line": (BASE64, "Base64"),
    "JSON in apostrophes": ("{'id': 1}\n" * 5, "JSON"),
}
TRUE = {
    "IDs": "id\n" + "".join(f"P{n:05}\n" for n in range(9)),
    "UUIDs": "id-no\n" + "9f1c7a2e-0000-4000-8000-00000000000a\n" * 6,
    "hashes without a header": "".join(hashlib.sha256(bytes([n])).hexdigest() + "\n" for n in range(6)),
    "names": "first last\n" + "".join(f"{name}\n" for name in PEOPLE),
    "names of one length": "name\nAnn Lee\nBob Day\nJoe Ray\nEve Lee\nAnn Day\nMax Orr\n",
    "padded names": "NAME      \n" + "SMITH  ANN\n" * 7,
    "mail": "e-mail\n" + "".join(f"user{n}@example.org\n" for n in range(9)),
    "free text": "note\n" + "Came in.  Left.\nSaw him.  Went.\nDid it.  So be it.\n" * 3,
    "words with colons": "remark: from the ward\n" + "pain: none: today\n" * 5,
    "hours": "at h:mm:ss\n" + "12:30:00\n" * 8,
    "addresses": "url\n" + "https://example.org/?x=1\n" * 8,
    "IPv6": "address\n" + "fe80::1\n" * 8,
    "tokens": "token\n" + "".join(BASE64[n : n + 64] + "\n" for n in range(0, 640, 64)),
    "notes of several lines": 'note\n"a::b\nc"\n"a::b\nd"\n"a::b\ne"\n"a::b\nf"\n',
    "one long word": "x" * 500,
}


def find(text: str, folder: Path) -> list[str]:
    path = folder / "in.csv"
    path.write_text(text, encoding="utf-8")
    inspection = inspect_table(path)
    assert inspection.verdict == "sound"
    return [f.message for f in inspection.findings if f.code == "one-column-maybe"]


@pytest.mark.parametrize("name", TOLD)
def test_what_looks_like_more_than_one_column_is_told(name: str, tmp_path: Path) -> None:
    text, words = TOLD[name]
    (message,) = find(text, tmp_path)
    assert words in message


@pytest.mark.parametrize("name", TRUE)
def test_one_column_raises_no_alarm(name: str, tmp_path: Path) -> None:
    assert find(TRUE[name], tmp_path) == []
