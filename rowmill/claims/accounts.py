"""Finds whose credentials a claim is asked with: the practice by its TIN, the payer account by payer and payer ID."""

from __future__ import annotations

from django.db import connection
from django.db.models import QuerySet
from django.db.models.functions import Now
from django.utils import timezone

from rowmill import audit
from rowmill.claims.limit_store import forget_quiet
from rowmill.contracts import PayerLimits, PayerProfile
from rowmill.doorbell import ring
from rowmill.errors import NotFound, Snooze
from rowmill.models import Batch, BatchState, PayerAccount, Practice
from rowmill.notify.mail import tell_admins
from rowmill.orgs import org_sealer

_WAIT_SECONDS = 60


def open_profile(
    org_id: int,
    provider_code: str,
    *,
    tin: str | None = None,
    practice_id: int | None = None,
    payer_id: str | None = None,
) -> PayerProfile:
    """Open the payer account that fits, secrets included.

    A TIN picks the practice within the org; else `practice_id`; else the account's own practice, else the org's first.
    Raises: NotFound with details["code"] UNKNOWN_TIN or UNKNOWN_PAYER (the row is wrong); Snooze where the org has no
    usable account at all (the job waits, the admin acts).
    """
    practice = _find_practice(org_id, tin, practice_id)
    accounts = PayerAccount.objects.filter(org_id=org_id, payer=provider_code)
    if not accounts.exists():
        raise Snooze(
            _WAIT_SECONDS, f"There is no payer account for {provider_code}. Add one under Settings, payer accounts."
        )
    account = _pick(accounts, practice, payer_id)
    practice = practice or account.practice or Practice.objects.filter(org_id=org_id).order_by("id").first()
    if practice is None:
        raise Snooze(_WAIT_SECONDS, "There is no practice to ask in the name of. Add one under Settings, practices.")
    return make_profile(account, practice.tin)


def _find_practice(org_id: int, tin: str | None, practice_id: int | None) -> Practice | None:
    """Give the practice named by TIN or id. Raises: NotFound for one that is not the org's."""
    practices = Practice.objects.filter(org_id=org_id)
    if tin:
        practice = practices.filter(tin=tin.replace("-", "").strip()).first()
    elif practice_id:
        practice = practices.filter(pk=practice_id).first()
    else:
        return None
    if practice is None:
        raise NotFound("No practice of this org has this TIN.", code="UNKNOWN_TIN")
    return practice


def _pick(accounts: QuerySet[PayerAccount], practice: Practice | None, payer_id: str | None) -> PayerAccount:
    """Choose among the org's accounts for a payer: the practice's own before a shared one."""
    if payer_id:
        accounts = accounts.filter(payer_id=payer_id.strip())
        if not accounts.exists():
            raise NotFound("No payer account of this org has this payer ID.", code="UNKNOWN_PAYER")
    own = accounts.filter(practice=practice).first() if practice else None
    shared = accounts.filter(practice=None).first()
    chosen = own or shared or (accounts.first() if practice is None else None)
    if chosen is None:
        raise NotFound("No payer account of this org serves this practice.", code="UNKNOWN_TIN")
    return chosen


def make_profile(account: PayerAccount, tin: str) -> PayerProfile:
    """Open one account's secrets for use in the name of a TIN."""
    sealer = org_sealer(account.org_id)
    return PayerProfile(
        account_id=account.pk,
        base_url=account.base_url.rstrip("/"),
        token_url=account.token_url,
        client_id=sealer.open(account.client_id_sealed, _aad(account, "client_id")).decode(),
        client_secret=sealer.open(account.client_secret_sealed, _aad(account, "client_secret")).decode(),
        tin=tin,
        payer_id=account.payer_id,
        limits=PayerLimits(calls_per_minute=account.calls_per_minute, in_flight=account.in_flight),
        environment=account.environment,
        shared=connection.vendor != "sqlite",  # on SQLite there is one process (docs/adr/0003-sqlite.md)
    )


def seal_credentials(account: PayerAccount, client_id: str | None, client_secret: str | None) -> None:
    """Put credentials on an account (not saved yet), leaving alone what is None."""
    sealer = org_sealer(account.org_id)
    if client_id is not None:
        account.client_id_sealed = sealer.seal(client_id.encode(), _aad(account, "client_id"))
    if client_secret is not None:
        account.client_secret_sealed = sealer.seal(client_secret.encode(), _aad(account, "client_secret"))


def mark_broken(account_id: int, code: str) -> bool:
    """Note that a payer refuses an account, and tell the org's admins once. Gives True that first time."""
    first = PayerAccount.objects.filter(pk=account_id, broken_code="").update(
        broken_code=code, broken_at=timezone.now()
    )
    if first:
        account = PayerAccount.objects.select_related("org").get(pk=account_id)
        audit.record(account.org, None, "payer_account.refused", "payer_account", account.public_id, code=code)
        tell_admins(account.org, "payer_refuses", account=account, code=code)
    return bool(first)


def mark_working(account: PayerAccount, *, tested: bool = True) -> None:
    """Note that an account may work (again), and let the org's waiting batches go on at once.

    `tested`: the payer has let us in; False for credentials that were only saved.
    """
    PayerAccount.objects.filter(pk=account.pk).update(
        broken_code="", broken_at=None, tested_at=timezone.now() if tested else None
    )
    forget_quiet(account.pk)
    waiting = Batch.objects.filter(org_id=account.org_id, state=BatchState.WAITING).exclude(waiting_reason="")
    for lane in set(waiting.values_list("lane", flat=True)):
        waiting.filter(lane=lane).update(available_at=Now(), waiting_reason="")
        ring(lane)


def _aad(account: PayerAccount, field: str) -> str:
    """Bind a secret to its account and field."""
    return f"payer_account|{account.public_id}|{field}"
