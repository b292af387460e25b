"""Where the fuzzer begins: small tables of each dialect, newline and encoding, and what it has found before."""

from __future__ import annotations

_PLAIN = "id,name,n\n1,Ann Bo,1.5\n2,Eve Lu,2.5\n3,Bob Ko,3.5\n"
_QUOTED = 'id,note\n1,"a, ""b""\nc"\n2,"x"\n3,""\n'

SEEDS: tuple[bytes, ...] = (
    _PLAIN.encode(),
    _QUOTED.encode(),
    _PLAIN.replace("\n", "\r\n").encode(),
    _QUOTED.replace("\n", "\r").encode(),
    _PLAIN.replace(",", ";").encode(),
    _PLAIN.replace(",", "\t").encode(),
    _QUOTED.replace(",", "|").encode(),
    b"\xef\xbb\xbf" + _PLAIN.encode(),
    b"\xff\xfe" + _PLAIN.encode("utf-16-le"),
    _PLAIN.encode("utf-16-be"),
    _PLAIN.replace("Ann", "Zoë").encode("cp1252"),
    _PLAIN.replace("Ann", "山田").encode("cp932"),
    b'name\n"Doe, Ann"\nRoe\n',
    b"sep=;\na;b\n1;2\n",
    b"Report\n\na,b,c\n1,2,3\n4,5,6\nTotal,,9\n",
    b"a,b\n1,2,\n3,4,\n",
    b"'a','b'\n'1','2'\n'3, 4','5'\n",
    b'id,name\n1,"Ann\n2,Bob\n3,Eve"\n',
    b"a,b\n1,2\r3,4\n5,6\r\n",
    b"a,b\n1,\x00\n2,\x1a\n3,\xe2\x80\x9cx\xe2\x80\x9d\n",
)
