"""What befalls a file on its way: transfers, joins, cuts, editors, the web, and files of another kind named .csv."""

from __future__ import annotations

import random
import textwrap
from collections.abc import Callable

from tests.zoo.case import Case, draw, q, refused, sound, told, warned, write
from tests.zoo.exports import EXPORTS

WIDTH = ("too-few-fields", "too-many-fields", "truncated", "other-delimiter")
QUOTES = ("quote-not-closed", "quote-swallows-rows", "text-after-quote", "quote-not-escaped")


def _lines(rng: random.Random, rows: int = 0) -> list[str]:
    return write(draw(rng, ascii_only=True, rows=rows)).splitlines()


def _data(lines: list[str]) -> bytes:
    return "\n".join([*lines, ""]).encode()


def ftp_doubled(rng: random.Random) -> Case:
    table = draw(rng)
    return told("FTP in ASCII mode: CR CR LF", write(table, newline="\r\r\n").encode(), 0)


def ftp_utf16(rng: random.Random) -> Case:
    data = b"\xff\xfe" + write(draw(rng), "\t").encode("utf-16-le")
    return refused("FTP in ASCII mode: UTF-16", data.replace(b"\n", b"\r\n"), 0)


def cat_final(rng: random.Random) -> Case:
    table, more = draw(rng, rows=12), draw(rng, rows=9)
    more = [row[: len(table[0])] + [""] * (len(table[0]) - len(row)) for row in more]
    more[0] = table[0]
    return warned("cat a b", write([*table, *more]).encode(), 14, [*table, *more[1:]], "repeated-header")


def cat_not_final(rng: random.Random) -> Case:
    one = write(draw(rng, rows=12)).removesuffix("\n")
    line = one.count("\n") + 1
    return refused("cat a b without a final newline", (one + one + "\n").encode(), line, *WIDTH, *QUOTES)


def cat_bom(rng: random.Random) -> Case:
    one = write(draw(rng, rows=12)).encode("utf-8-sig")
    return refused("cat a b with marks", one + one, 14, "bom-in-middle")


def cat_codecs(rng: random.Random) -> Case:
    text = write(draw(rng, rows=60))
    rows = text.split("\n", 1)[1]
    line = 62 + next(i for i, row in enumerate(rows.splitlines()) if not row.isascii())
    return refused("cat UTF-8 cp1252", text.encode() + rows.encode("cp1252"), line, "mixed-encodings", "bad-encoding")


def cat_wider(rng: random.Random) -> Case:
    one, two = draw(rng, rows=12), draw(rng, rows=12)
    two = [[*row, "x"] * 2 for row in two]
    return refused("cat of two widths", write([*one, *two]).encode(), 14, *WIDTH)


def cat_other_dialect(rng: random.Random) -> Case:
    one = [[c.replace('"', "").replace(",", " ") for c in r] for r in draw(rng, rows=12)]
    return refused("cat of commas and semicolons", (write(one) + write(one, ";")).encode(), 14, *WIDTH)


def cut(rng: random.Random) -> Case:
    lines = [x for x in _lines(rng, 12) if '"' not in x]
    last = lines[-1]
    lines[-1] = last[: rng.randrange(1, last.rindex(","))]
    return refused("cut download", "\n".join(lines).encode(), len(lines), "truncated", *WIDTH)


def cut_in_quotes(rng: random.Random) -> Case:
    table = [[*row, "left as before"] for row in draw(rng, rows=12)]
    data = write(table, field=q).encode()
    end = data.rindex(b'","') + rng.choice((4, 6))
    return refused("cut inside quotes", data[:end], 13, "truncated", *QUOTES)


def cut_letter(rng: random.Random) -> Case:
    data = write([*draw(rng, rows=12), ["P000013", "Zoë"]]).encode()
    return refused("cut inside a letter", data[:-2], 14, "truncated", "bad-encoding", *WIDTH)


def cut_utf16(rng: random.Random) -> Case:
    data = b"\xff\xfe" + write(draw(rng, rows=12)).encode("utf-16-le")
    return refused("UTF-16 cut at an odd byte", data[: -rng.choice((9, 11, 13))], 0)


def resumed(rng: random.Random) -> Case:
    lines = _lines(rng, 12)
    at = rng.randrange(2, 12)
    lines[at] = lines[at][: lines[at].index(",") + 4] + lines[at][3:]
    return refused("download resumed with an overlap", _data(lines), at + 1)


def zeros(rng: random.Random) -> Case:
    lines = _lines(rng, 12)
    return refused("tail of zeros", _data(lines) + b"\x00" * 512, 14, "nul-byte")


def gateway(rng: random.Random) -> Case:
    lines = _lines(rng, 12)
    lines += ["<html>", "<head><title>504 Gateway Time-out</title></head>", "<body>", "</body>", "</html>"]
    return told("an error page at the end", _data(lines), 14, last=18)


def traceback_end(rng: random.Random) -> Case:
    lines = _lines(rng, 12)
    lines += ["Traceback (most recent call last):", '  File "export.py", line 12, in <module>', "MemoryError"]
    return told("a traceback at the end", _data(lines), 14, last=16)


def timeout_end(rng: random.Random) -> Case:
    lines = [*_lines(rng, 12), "ERROR:  canceling statement due to statement timeout"]
    return told("an SQL error at the end", _data(lines), 14)


def chunks(rng: random.Random) -> Case:
    lines = _lines(rng, 30)
    at = rng.randrange(3, 28)
    lines.insert(at, rng.choice(("1f40", "2000", "a0")))
    return refused("a chunk size left in", _data(lines), at + 1, *WIDTH)


def wrapped(rng: random.Random) -> Case:
    table = draw(rng, rows=12)
    at = rng.randrange(1, 13)
    table[at][1] = "Maria de los Angeles Fernandez Garcia y Lopez de la Torre of the Northern District"
    lines = write(table).splitlines()
    lines[at : at + 1] = textwrap.wrap(lines[at], 60)
    return refused("a line wrapped by an editor", _data(lines), at + 1, *WIDTH, *QUOTES, last=at + 2)


def web_spaces(rng: random.Random) -> Case:
    table = draw(rng)
    for row in table[1:]:
        row[1] = row[1].replace(" ", rng.choice(("\u00a0", "\u200b ", " ")))
    return sound("spaces of the web", write(table).encode(), table)


def web_line(rng: random.Random) -> Case:
    lines = _lines(rng, 12)
    lines.insert(6, rng.choice(("\u00a0", "\u200b", "\u00a0\u00a0", "\u3000")))
    return told("a line with nothing but spaces of the web", _data(lines), 7)


def wide_comma(rng: random.Random) -> Case:
    lines = [x for x in _lines(rng, 12) if '"' not in x]
    at = rng.randrange(1, len(lines))
    lines[at] = lines[at].replace(",", "，" if rng.random() < 0.5 else "、")
    return refused("a row with wide commas", _data(lines), at + 1, *WIDTH)


def conflict(rng: random.Random) -> Case:
    lines = _lines(rng, 12)
    lines[5:6] = ["<<<<<<< HEAD", lines[5], "=======", lines[5], ">>>>>>> theirs"]
    return refused("a conflict of git", _data(lines), 6, *WIDTH)


def two_tables(rng: random.Random) -> Case:
    one, two = _lines(rng, 12), ["clinic,city", *(f"C{i},Town {i}" for i in range(9))]
    gap = [""] * rng.choice((0, 1, 2))
    return refused("two tables", _data([*one, *gap, *two]), 14 + len(gap), *WIDTH)


def two_tables_same_width(rng: random.Random) -> Case:
    one = draw(rng, ascii_only=True, rows=12)
    two = [[f"{word}_{i}" for i in range(len(one[0]))] for word in ("clinic", "town", "street")]
    return told("two tables of one width", (write(one) + "\n" + write(two)).encode(), 14, last=15)


def shifted(rng: random.Random) -> Case:
    table = draw(rng, ascii_only=True, rows=30)
    at = rng.randrange(3, 28)
    place = rng.randrange(len(table[0]))
    for row in table[at:]:
        row.insert(place, rng.choice(("", "x")))
    return refused("a column put in halfway", write(table).encode(), at + 1, *WIDTH)


def lost_column(rng: random.Random) -> Case:
    table = draw(rng, ascii_only=True, rows=30)
    at = rng.randrange(3, 28)
    for row in table[at:]:
        del row[2]
    return refused("a column lost halfway", write(table).encode(), at + 1, *WIDTH)


def quoted_whole_line(rng: random.Random) -> Case:
    lines = _lines(rng, 12)
    at = rng.randrange(1, 13)
    lines[at] = q(lines[at])
    return refused("a whole line in quotes", _data(lines), at + 1, *WIDTH)


def tabs_to_spaces(rng: random.Random) -> Case:
    table = [[c.replace('"', "") for c in r] for r in draw(rng, ascii_only=True, rows=12)]
    lines = write(table, "\t").splitlines()
    at = rng.randrange(1, 13)
    lines[at] = lines[at].replace("\t", "    ")
    return refused("tabs became spaces", _data(lines), at + 1, *WIDTH)


def entities(rng: random.Random) -> Case:
    table = draw(rng, ascii_only=True)
    table[1][1] = "Smith &amp; Lee &lt;x&gt;"
    return sound("entities of the web", write(table).encode(), table)


MISHAPS: tuple[Callable[[random.Random], Case], ...] = (
    ftp_doubled, ftp_utf16, cat_final, cat_not_final, cat_bom, cat_codecs, cat_wider, cat_other_dialect, cut,
    cut_in_quotes, cut_letter, cut_utf16, resumed, zeros, gateway, traceback_end, timeout_end, chunks, wrapped,
    web_spaces, web_line, wide_comma, conflict, two_tables, two_tables_same_width, shifted, lost_column,
    quoted_whole_line, tabs_to_spaces, entities,
)  # fmt: skip

# Files of another kind, told by their first bytes: what they are called, and how they begin.
OTHERS: dict[str, bytes] = {
    "an HTML page": b"<!DOCTYPE html>\n<html><head><title>Sign in</title></head>\n<body><form>a,b</form></body></html>\n",
    "an HTML page, with a space": b"\r\n\r\n  <HTML>\n<title>Login, please</title>\n</HTML>\n",
    "an HTML fragment": b"<meta charset=utf-8>\n<title>Session expired</title>\n<p>Sign in, please\n",
    "X12": b"ISA*00*          *00*          *ZZ*SENDER         *ZZ*RECEIVER       *240304*0912*^*00501*000000001*0*P*:~\n"
    b"GS*HC*SENDER*RECEIVER*20240304*0912*1*X*005010X222A1~\nST*837*0001~\n",
    "X12 in one line": b"ISA|00|          |00|          |ZZ|SENDER         |ZZ|RECEIVER       |240304|0912|^|00501|"
    b"000000001|0|P|:~GS|HC|S|R|20240304|0912|1|X|005010X222A1~ST|837|0001~",
    "HL7": b"MSH|^~\\&|LAB|HOSP|EHR|HOSP|20240304||ORU^R01|1|P|2.5\rPID|1||P000001||Smith^Ann\rOBX|1|NM|GLU||5.4\r",
    "HL7, LF": b"MSH|^~\\&|LAB|HOSP|EHR|HOSP|20240304||ORU^R01|1|P|2.5\nPID|1||P000001||Smith^Ann\nOBX|1|NM|GLU||5.4\n",
    "HL7 in a batch": b"FHS|^~\\&|LAB|HOSP\rBHS|^~\\&|LAB\rMSH|^~\\&|LAB|HOSP|EHR\rPID|1||P1\r",
    "EDIFACT": b"UNB+UNOA:1+SENDER+RECEIVER+240304:0912+1'\nUNH+1+MEDPID:D:95A'\n",
    "EDIFACT with its signs": b"UNA:+.? 'UNB+UNOA:1+SENDER+RECEIVER+240304:0912+1'UNH+1+ORDERS:D:95A'",
    "an SQL dump of MySQL": b"-- MySQL dump 10.13  Distrib 8.0.33\n--\n-- Host: localhost    Database: x\n"
    b"INSERT INTO `a` VALUES (1,'x'),(2,'y');\n",
    "an SQL dump of Postgres": b"--\n-- PostgreSQL database dump\n--\n\nSET statement_timeout = 0;\n",
    "SQL statements": b"CREATE TABLE patients (id int, name text);\nINSERT INTO patients VALUES (1, 'Ann');\n",
    "SQL inserts": b"INSERT INTO patients (id, name) VALUES (1, 'Ann');\nINSERT INTO patients (id, name) VALUES (2, 'Bo');\n",
    "JSON lines": b'{"id": 1, "name": "Ann"}\n{"id": 2, "name": "Bo"}\n',
    "XML": b"<patients>\n<patient><id>1</id></patient>\n</patients>\n",
    "XML of an error": b"<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>",
    "a PGP message": b"-----BEGIN PGP MESSAGE-----\nVersion: 2\n\nhQEMA1,abc\n-----END PGP MESSAGE-----\n",
    "a key": b"-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n",
    "SAS transport": b"HEADER RECORD*******LIBRARY HEADER RECORD!!!!!!!000000000000000000000000000000  \n",
    "SAS": b"\x00" * 12
    + b"\xc2\xea\x81\x60\xb3\x14\x11\xcf\xbd\x92\x08\x00\x09\xc7\x31\x8c\x18\x1f\x10\x11"
    + b"\x00" * 90,
    "SPSS": b"$FL2@(#) IBM SPSS STATISTICS DATA FILE" + b"\x02\x00\x00\x00" * 8,
    "Stata": b"<stata_dta><header><release>118</release>",
    "Access": b"\x00\x01\x00\x00Standard ACE DB\x00\x02\x03",
    "dBase": b"\x03\x7c\x03\x04\x0c\x00\x00\x00\xa1\x00\x2a\x00"
    + b"\x00" * 20
    + b"ID\x00\x00\x00\x00\x00\x00\x00\x00\x00C",
    "DICOM": b"\x00" * 128 + b"DICM\x02\x00\x00\x00",
    "HDF5": b"\x89HDF\r\n\x1a\n\x00\x00",
    "Avro": b"Obj\x01\x04\x14avro.codec\x08null",
    "TIFF": b"II*\x00\x08\x00\x00\x00",
    "a mail": b"Return-Path: <jo@example.org>\nReceived: from a by b\nSubject: Export\nMIME-Version: 1.0\n\nHello, here\n",
    "a calendar": b"BEGIN:VCALENDAR\nVERSION:2.0\nEND:VCALENDAR\n",
    "a card": b"BEGIN:VCARD\nVERSION:3.0\nFN:Ann Smith\nEND:VCARD\n",
    "a large-file pointer": b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n",
    "PostScript": b"%!PS-Adobe-3.0\n%%Title: report, March\n",
    "R data": b"RDX3\nX\n\x00\x00\x00\x03",
}


def others() -> list[Case]:
    """Give the files of another kind; each has to be refused, and as what it is."""
    return [refused(name, data, 0, "not-a-table") for name, data in OTHERS.items()]


def corpus(each: int, seed: int = 5) -> list[Case]:
    """Make the whole corpus: `each` files of every export and mishap, and every file of another kind once."""
    makers = (*EXPORTS, *MISHAPS)
    return [make(random.Random(f"{seed} {n} {make.__name__}")) for n in range(each) for make in makers] + others()
