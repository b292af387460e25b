"""The registry: slug -> dotted path of every kind, payer and check. Settings may add to each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from importlib import import_module
from typing import Any

from rowmill.contracts import Check, Kind, Payer, Rules
from rowmill.errors import ConfigError, NotFound

KINDS: dict[str, str] = {
    "claim_status": "rowmill.kinds.claim_status.ClaimStatus",
    "contact_import": "rowmill.kinds.contact_import.ContactImport",
    "cohort_table": "rowmill.kinds.cohort_table.CohortTable",
}
PAYERS: dict[str, str] = {
    "UHC": "rowmill.payers.uhc.UnitedHealthcare",
}
CHECKS: dict[str, str | Check] = {
    "required": "rowmill.checks.basic.REQUIRED",
    "date": "rowmill.checks.basic.DATE",
    "date-not-future": "rowmill.checks.basic.DATE_NOT_FUTURE",
    "claim-number": "rowmill.checks.claims.CLAIM_NUMBER",
    "subscriber-id": "rowmill.checks.claims.SUBSCRIBER_ID",
    "tin": "rowmill.checks.claims.TIN",
    "lost-digits": "rowmill.checks.basic.LOST_DIGITS",
    "unique": "rowmill.checks.basic.UNIQUE",
    "integer": "rowmill.checks.values.INTEGER",
    "decimal": "rowmill.checks.values.DECIMAL",
    "number": "rowmill.checks.values.NUMBER",
    "boolean": "rowmill.checks.values.BOOLEAN",
    "yes-no": "rowmill.checks.values.YES_NO",
    "date-iso": "rowmill.checks.values.DATE_ISO",
    "date-us": "rowmill.checks.values.DATE_US",
    "date-european": "rowmill.checks.values.DATE_EUROPEAN",
    "date-time": "rowmill.checks.values.DATE_TIME",
    "date-time-utc": "rowmill.checks.values.DATE_TIME_UTC",
    "time": "rowmill.checks.values.TIME",
    "year": "rowmill.checks.values.YEAR",
    "year-month": "rowmill.checks.values.YEAR_MONTH",
    "uuid": "rowmill.checks.values.UUID",
    "email": "rowmill.checks.contact.EMAIL",
    "phone": "rowmill.checks.contact.PHONE",
    "phone-e164": "rowmill.checks.contact.PHONE_E164",
    "url": "rowmill.checks.contact.URL",
    "uri": "rowmill.checks.contact.URI",
    "us-state": "rowmill.checks.contact.US_STATE",
    "zip": "rowmill.checks.contact.ZIP",
    "zip-plus-4": "rowmill.checks.contact.ZIP_PLUS_4",
    "count-written": "rowmill.checks.written.COUNT_WRITTEN",
    "money-written": "rowmill.checks.written.MONEY_WRITTEN",
    "share-written": "rowmill.checks.written.SHARE_WRITTEN",
    "day-written": "rowmill.checks.written.DAY_WRITTEN",
    "moment-written": "rowmill.checks.written.MOMENT_WRITTEN",
    "flag-written": "rowmill.checks.written.FLAG_WRITTEN",
    "phone-written": "rowmill.checks.written.PHONE_WRITTEN",
    "web-address": "rowmill.checks.written.WEB_ADDRESS",
    "key-length": "rowmill.checks.written.KEY_LENGTH",
    "contact-key": "rowmill.checks.written.CONTACT_KEY",
    "luhn": "rowmill.checks.medical.LUHN",
    "npi": "rowmill.checks.medical.NPI",
    "icd-10-cm": "rowmill.checks.medical.ICD_10_CM",
    "cpt": "rowmill.checks.medical.CPT",
    "hcpcs": "rowmill.checks.medical.HCPCS",
}


# Forms in which rules come in and go out: what reads each, what writes each.
SCHEMAS: dict[str, tuple[str, str]] = {
    "table-schema": ("rowmill.checks.table_schema.read_descriptor", "rowmill.checks.table_schema.write_descriptor"),
}


def _load(table: Mapping[str, Any], slug: str, what: str) -> Any:
    """Import what a slug names; a check may stand there itself."""
    try:
        found = table[slug]
    except KeyError:
        known = ", ".join(sorted(table)) or "none"
        raise NotFound(f"There is no {what} called {slug!r}. Known: {known}.") from None
    if isinstance(found, Check):
        return found
    module, name = found.rsplit(".", 1)
    return getattr(import_module(module), name)


@cache
def get_kind(slug: str) -> Kind:
    """Give the kind, one object for the process. Raises: NotFound."""
    kind = _load(KINDS, slug, "kind")()
    assert isinstance(kind, Kind)
    return kind


def get_payer(slug: str) -> type[Payer]:
    """Give the connector's class. Raises: NotFound."""
    payer: type[Payer] = _load(PAYERS, slug, "payer")
    return payer


@cache
def get_check(slug: str) -> Check:
    """Give the check. Raises: NotFound."""
    check = _load(CHECKS, slug, "check")
    assert isinstance(check, Check)
    return check


def rules_of(kind: Kind) -> Rules:
    """Give the columns and checks of a kind; `required` comes with any column that must be filled."""
    slugs = {slug for column in kind.columns for slug in column.checks} | set(kind.checks)
    if any(column.filled for column in kind.columns):
        slugs.add("required")
    return Rules(kind.columns, {slug: get_check(slug) for slug in sorted(slugs)}, kind.checks)


def read_schema(descriptor: Any, form: str = "table-schema") -> Rules:
    """Read the rules of a descriptor. Raises: InputError that names the field and the word that cannot be kept."""
    rules: Rules = _load({name: reads for name, (reads, _) in SCHEMAS.items()}, form, "form of rules")(descriptor)
    return rules


def write_schema(rules: Rules, form: str = "table-schema") -> dict[str, Any]:
    """Write rules as a descriptor. Raises: InputError that names the column and the check that no descriptor can hold."""
    write = _load({name: writes for name, (_, writes) in SCHEMAS.items()}, form, "form of rules")
    descriptor: dict[str, Any] = write(rules)
    return descriptor


def add_checks(checks: Iterable[Check]) -> None:
    """Add checks that were made, by their own slugs. Again: yes, for equal ones.

    Raises: ConfigError where a slug stands for another check already.
    """
    for check in checks:
        if check.slug in CHECKS and get_check(check.slug) != check:
            raise ConfigError(f"Two different checks are called {check.slug!r}. Give one of them another slug.")
        CHECKS.setdefault(check.slug, check)


def extend(kinds: Mapping[str, str], payers: Mapping[str, str], checks: Mapping[str, str]) -> None:
    """Add third parties' plugins, as the settings name them."""
    KINDS.update(kinds)
    PAYERS.update(payers)
    CHECKS.update(checks)
    get_kind.cache_clear()
    get_check.cache_clear()
