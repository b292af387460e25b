"""The claim inquiry: read and validate the question, find the page of claims, tell it as the API does."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

from payersim.book import Book, Entry
from payersim.chance import Draws
from payersim.messages import Call, Reply, error_reply, json_reply
from payersim.records import KNOWN_FIELDS, Record, dress, expand, select, words_of
from payersim.settings import Settings

MAX_RANGE_DAYS = 90
_PAGE_TOKEN = re.compile(r"page-(\d+)-(\d+)")
_ARGUMENTS = re.compile(r"\([^()]*\)")


@dataclass(frozen=True, slots=True)
class Question:
    """One inquiry that is in order."""

    claim_number: str
    criteria: Mapping[str, str] = field(default_factory=dict)
    words: frozenset[str] = frozenset()
    service_from: date | None = None
    service_to: date | None = None
    page_token: str = ""


def _invalid(description: str) -> Reply:
    return error_reply(400, "GRAPHQL_VALIDATION_FAILED", description)


def read(call: Call) -> Question | Reply:
    """Read the question; a Reply is the 400 that says what is wrong with it."""
    try:
        body = json.loads(call.body)
        query, criteria = body["query"], body["variables"]["searchClaimInput"]
    except (ValueError, KeyError, TypeError):
        return _invalid("query and variables.searchClaimInput are required")
    if not isinstance(query, str) or not isinstance(criteria, dict):
        return _invalid("query must be text and searchClaimInput an object")
    return _fault_of_query(query) or _check(call, query, {k: str(v) for k, v in criteria.items() if v is not None})


def _fault_of_query(query: str) -> Reply | None:
    """Refuse a query that asks for fields the API does not have, as any GraphQL server does."""
    words = words_of(query)
    if "searchClaim" not in words:
        return _invalid("Only searchClaim is simulated")
    if "..." in query or "#" in query or '"' in query:
        return None
    selection = _ARGUMENTS.sub(" ", query).partition("{")[2]
    unknown = words_of(selection) - KNOWN_FIELDS - {"searchClaim", "searchClaimResponse"}
    return _invalid(f"Cannot query field {sorted(unknown)[0]!r}") if unknown else None


def _check(call: Call, query: str, criteria: Mapping[str, str]) -> Question | Reply:
    if not call.headers.get("providertaxid", "").strip():
        return _invalid("Header providerTaxId is required")
    if not criteria.get("payerId"):
        return _invalid("payerId is required")
    try:
        begin, end = _day(criteria.get("serviceStartDate")), _day(criteria.get("serviceEndDate"))
    except ValueError:
        return _invalid("Dates must be MM/DD/YYYY")
    if begin and end and not 0 <= (end - begin).days <= MAX_RANGE_DAYS:
        return _invalid(f"The range of dates must be {MAX_RANGE_DAYS} days or less")
    if not criteria.get("claimNumber") and not (member_key(criteria) and begin and end):
        return _invalid("Give claimNumber, or two facts about the member and a range of dates")
    token = call.headers.get("nextpagetoken", "")
    return Question(criteria.get("claimNumber", "").strip(), criteria, words_of(query), begin, end, token)


def _day(text: str | None) -> date | None:
    return datetime.strptime(text, "%m/%d/%Y").date() if text else None


def member_key(criteria: Mapping[str, str]) -> tuple[str, str] | None:
    """Give by which key of the book a member is looked for."""
    given = {key: criteria.get(f"member{key}", "") for key in ("Id", "DateOfBirth", "FirstName", "LastName")}
    if given["Id"] and (given["DateOfBirth"] or given["LastName"]):
        return "sub", given["Id"]
    if given["LastName"] and given["DateOfBirth"]:
        return "born", f"{given['LastName']}|{given['DateOfBirth']}"
    return None


def entry_of_member(book: Book, question: Question) -> Entry:
    """Find the claims of a member."""
    key = member_key(question.criteria)
    return Entry(tuple(book.of_member(*key))) if key else Entry()


def _in_range(records: Iterable[Record], question: Question) -> list[Record]:
    """Keep the claims whose service began inside the dates asked for; without dates, all."""
    begin, end = question.service_from, question.service_to
    if not (begin and end):
        return list(records)
    return [r for r in records if (day := _day(r.get("from"))) is None or begin <= day <= end]


def answer(question: Question, entry: Entry, settings: Settings, draws: Draws, now: float) -> tuple[Reply, bool]:
    """Give the page asked for, and whether anything was found."""
    records = _in_range(entry.claims, question)
    size = entry.page_size or settings.page_size
    if len(records) > settings.max_results:
        return error_reply(400, "LCLM_PS_306", "Too many results, narrow the search"), False
    begin = _page_begin(question.page_token, settings, now)
    if isinstance(begin, Reply):
        return begin, False
    claims = [expand(record) for record in records[begin : begin + size]]
    if draws.look < settings.profile.cosmetics:
        for claim in claims:
            dress(claim, draws.detail)
    told = {
        "claims": [select(claim, question.words) for claim in claims],
        "pagination": _pagination(entry, settings, begin, size, len(records), now),
    }
    if "pagination" not in question.words:
        del told["pagination"]
    return json_reply({"data": {settings.root: told}}), bool(records)


def _page_begin(token: str, settings: Settings, now: float) -> int | Reply:
    """Read a page token: where the page begins and when the token was given, 0 for one that never gets old."""
    if not token:
        return 0
    found = _PAGE_TOKEN.fullmatch(token)
    if found is None:
        return _invalid("The nextPageToken is not valid")
    begin, given_at = int(found[1]), int(found[2])
    if given_at and now - given_at > settings.page_token_ttl:
        return error_reply(400, "LCLM_PS_203", "The nextPageToken has expired")
    return begin


def _pagination(entry: Entry, settings: Settings, begin: int, size: int, total: int, now: float) -> dict[str, Any]:
    if entry.paging == "no_token":
        return {"hasMoreRecords": True, "nextPageToken": None}
    if entry.paging == "loop":
        return {"hasMoreRecords": True, "nextPageToken": "page-0-0"}
    empty_last = settings.empty_last_page or entry.paging == "empty_last"
    more = begin + size < total or (empty_last and begin < total)
    return {"hasMoreRecords": more, "nextPageToken": f"page-{begin + size}-{int(now) + 1}" if more else None}
