"""Keeps an org's practices: in whose name (TIN, NPI) payers are asked."""

from __future__ import annotations

from django.db import IntegrityError, transaction

from rowmill import audit
from rowmill.errors import InputError
from rowmill.models import Practice
from rowmill.orgs import Caller

NPI_WARNING = (
    "The last digit of this NPI does not fit the others. Compare it with the NPI registry; it was saved as written."
)


@transaction.atomic
def save_practice(caller: Caller, practice: Practice, *, name: str, tin: str, npi: str = "") -> Practice:
    """Add a practice or change it. A TIN comes with or without dash and is kept as digits.

    Raises: NotAllowed; InputError with details["field"] for what cannot be, or a TIN that the org has already.
    """
    caller.need_admin()
    is_new = practice.pk is None
    practice.org = caller.org
    practice.name = name.strip()
    practice.tin = read_tin(tin)
    practice.npi = read_npi(npi)
    if not practice.name:
        raise InputError("Give the practice a name.", field="name")
    try:
        with transaction.atomic():
            practice.save()
    except IntegrityError:
        raise InputError("A practice with this TIN is there already.", code="tin_taken", field="tin") from None
    audit.record(
        caller.org, caller.user, "practice.added" if is_new else "practice.changed", "practice", practice.public_id
    )
    return practice


@transaction.atomic
def remove_practice(caller: Caller, practice: Practice) -> None:
    """Remove a practice and the payer accounts that are its own. Raises: NotAllowed."""
    caller.need_admin()
    accounts = practice.payer_accounts.count()
    audit.record(caller.org, caller.user, "practice.removed", "practice", practice.public_id, payer_accounts=accounts)
    practice.delete()


def read_tin(text: str) -> str:
    """Give a TIN as nine digits: 12-3456789 or 123456789. Raises: InputError."""
    digits = text.strip()
    if len(digits) == 10 and digits[2] == "-":
        digits = digits[:2] + digits[3:]
    if len(digits) != 9 or not (digits.isascii() and digits.isdigit()):
        raise InputError("A TIN has nine digits, as in 12-3456789.", code="bad_tin", field="tin")
    return digits


def read_npi(text: str) -> str:
    """Give an NPI as ten digits, or blank. Its check digit is not asked for here. Raises: InputError."""
    digits = text.strip()
    if digits and (len(digits) != 10 or not (digits.isascii() and digits.isdigit())):
        raise InputError("An NPI has ten digits. Leave it blank where there is none.", code="bad_npi", field="npi")
    return digits


def npi_fits(npi: str) -> bool:
    """Tell whether an NPI's check digit is right; a blank one is.

    Source: CMS, "Requirements for NPI and NPI check digit": Luhn over 80840 and the ten digits.
    """
    if not npi:
        return True
    digits = [int(digit) for digit in reversed("80840" + npi)]
    doubled = [sum(divmod(2 * digit, 10)) for digit in digits[1::2]]
    return (sum(digits[::2]) + sum(doubled)) % 10 == 0
