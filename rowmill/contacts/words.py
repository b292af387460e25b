"""How contacts are found: the words of each contact, as an index holds them on Postgres and as SQLite looks for them.

A word is found by its beginning, a phone number by its end, a value (stage, seniority, country, industry) as a whole. On
Postgres all of them are lexemes of one GIN index, each with its org's number before it: an org reads its own part only.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from django.db import connection
from django.db.models import BooleanField, Expression

VALUES = {"stage": "s", "seniority": "r", "country": "c", "industry": "i"}
VALUE_CHARACTERS = 40  # a value is told by its beginning
NO_EMAIL = "e"
_MARK = "\x1f"  # between the letter of a value and the value: no name has it
_PHONE = re.compile(r"[+0-9 ()./-]{4,}")
_PHONE_DIGITS = 9  # as many at the end as tell a number with its country's code from the same without
_MOST_WORDS, _WORD_CHARACTERS = 8, 60


def index_sql() -> str:
    """Give the expression that the index is on: a tsvector of a contact's lexemes. Cost: 6 µs for a contact."""
    names = "replace(left(first_name, 60) || ' ' || left(last_name, 60) || ' ' || left(company, 80), '-', ' ')"
    values = "".join(
        f" || CASE WHEN {name} = '' THEN '' ELSE E' {letter}\\x1f' || replace(left({name}, 40), ' ', '_') END"
        for name, letter in VALUES.items()
    )
    email = f" || CASE WHEN email = '' THEN E' {NO_EMAIL}\\x1f' ELSE '' END"
    words = f"lower({names} || ' ' || replace(left(email, 120), '@', ' '){values}{email})"
    # A list as JSON, turned round, has a number with its last digit first: ]"99..." ,"12..."[
    phones = "reverse(jsonb_path_query_array(phone_numbers, '$.*')::text)"
    phones = f"replace(replace({phones}, '][', ''), ']\"', ',\"')"
    lexemes = f"replace({words} || ' ' || {phones}, ' ', ' ' || org_id || '.')"
    return f"array_to_tsvector(array_remove(string_to_array(org_id || '.' || {lexemes}, ' '), org_id || '.'))"


class Condition(Expression):
    """A condition in SQL, for `filter`. The contacts are the only table of the query."""

    conditional = True

    def __init__(self, sql: str, *params: str | int) -> None:
        super().__init__(output_field=BooleanField())
        self.sql, self.params = sql, params

    def as_sql(self, compiler: Any, connection: Any) -> tuple[str, tuple[str | int, ...]]:
        """Give it as it is."""
        return f"({self.sql})", self.params


def find_words(org_id: int, search: str, values: Mapping[str, str], *, without_email: bool = False) -> list[Condition]:
    """Give the conditions for contacts that have all the words and values."""
    words, digits = _read(search)
    if connection.vendor != "postgresql":
        return _scan(words, digits, values, without_email)
    parts = [_lexeme(org_id, f"{VALUES[name]}{_MARK}{_fold(value)}") for name, value in values.items()]
    if without_email:
        parts.append(_lexeme(org_id, f"{NO_EMAIL}{_MARK}"))
    spoken = " & ".join(_lexeme(org_id, word) + ":*" for whole in words for word in _split(whole))
    phone = _lexeme(org_id, ',"' + digits[::-1]) + ":*" if digits else ""
    found = f"({spoken} | {phone})" if spoken and phone else spoken or phone
    parts += [found] if found else []
    conditions = [Condition(f"{index_sql()} @@ lower(%s)::tsquery", " & ".join(parts))] if parts else []
    return conditions + _addresses(words)


def _read(search: str) -> tuple[list[str], str]:
    """Read what is searched for. Shape: (words, the digits that a phone number ends in, "" where it is none)."""
    text = search.replace("\x00", "").strip()
    words = [word.strip(",;:\"'")[:120] for word in text.split()][:_MOST_WORDS]
    words = [word for word in words if word.strip("@-")]
    whole = re.sub(r"\D", "", text) if _PHONE.fullmatch(text) else ""
    national = whole.lstrip("0")  # without the 0 that is left out behind a country's code
    digits = (national if len(national) >= 4 else whole)[-_PHONE_DIGITS:]
    if len(digits) < 4:
        return words, ""
    return (words if len(words) == 1 and words[0].isdigit() else []), digits


def _split(word: str) -> list[str]:
    """Cut a word where the index does."""
    return [part[:_WORD_CHARACTERS] for part in word.replace("@", " ").replace("-", " ").split()]


def _fold(value: str) -> str:
    """Give a value as the index has it, but for its capitals."""
    return value.strip()[:VALUE_CHARACTERS].replace(" ", "_").replace("\x00", "")


def _lexeme(org_id: int, text: str) -> str:
    """Quote a lexeme for a query."""
    return "'" + f"{org_id}.{text}".replace("\\", "\\\\").replace("'", "''") + "'"


def _scan(words: list[str], digits: str, values: Mapping[str, str], without_email: bool) -> list[Condition]:
    """Give the conditions where there is no such index: every contact of the org is looked at."""
    found = []
    for name, value in values.items():
        folded = list(dict.fromkeys(_fold(one) for one in _spellings(value)))
        marks = ", ".join(["lower(%s)"] * len(folded))
        found.append(Condition(f"lower(replace(substr({name}, 1, 40), ' ', '_')) IN ({marks})", *folded))
    if without_email:
        found.append(Condition("email = ''"))
    text = (
        "' ' || replace(first_name || ' ' || last_name || ' ' || company, '-', ' ') || ' ' || replace(email, '@', ' ')"
    )
    asked = [_spellings(word) for whole in words for word in _split(whole)]
    spoken = [f"% {_literal(spelling)}%" for spellings in asked for spelling in spellings]
    sql = " AND ".join("(" + " OR ".join([f"{text} LIKE %s ESCAPE '!'"] * len(one)) + ")" for one in asked)
    if digits:
        sql = " OR ".join(filter(None, [sql and f"({sql})", "phone_numbers LIKE %s"]))
        spoken = [*spoken, f'%{digits}"%']
    found += [Condition(sql, *spoken)] if sql else []
    return found + _addresses(words)


def _spellings(word: str) -> list[str]:
    """Give a word with its capitals in the usual ways: SQLite holds only those of ASCII alike."""
    return [word] if word.isascii() else list(dict.fromkeys([word, word.lower(), word.title(), word.upper()]))


def _addresses(words: list[str]) -> list[Condition]:
    """Give the conditions for words with an @: the index has what is before it and behind it as words of their own."""
    sql = "email LIKE lower(%s) ESCAPE '!'"
    return [Condition(sql, ("%" if word[0] == "@" else "") + _literal(word) + "%") for word in words if "@" in word]


def _literal(text: str) -> str:
    """Take a text's signs for themselves."""
    return re.sub(r"([!%_])", r"!\1", text)
