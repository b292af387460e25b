"""Who may see what: the one place that turns a person into an org, and an org into its own rows."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeVar
from uuid import UUID

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import models, transaction

from rowmill.errors import NotAllowed, NotFound
from rowmill.models import Membership, Org, Role, User
from rowmill.storage.seal import Sealer, master_sealer, new_key

M = TypeVar("M", bound=models.Model)


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks: a person in one org, in one role. Every verb that a person starts takes one."""

    user: User
    org: Org
    role: str

    @property
    def may_write(self) -> bool:
        """Tell whether the role allows changes."""
        return self.role in (Role.ADMIN, Role.MEMBER)

    @property
    def is_admin(self) -> bool:
        """Tell whether the role allows the org's settings."""
        return self.role == Role.ADMIN

    def need_write(self) -> None:
        """Raises: NotAllowed for an auditor."""
        if not self.may_write:
            raise NotAllowed("An auditor reads and changes nothing.")

    def need_admin(self) -> None:
        """Raises: NotAllowed for anyone but an admin."""
        if not self.is_admin:
            raise NotAllowed("Only an admin of the org may do this.")


def find_caller(user: User, org_id: UUID | str | None = None) -> Caller:
    """Give the caller for a person: in the org named (its public id), else in the first they joined.

    Raises: NotFound where they belong to no (such) org.
    """
    memberships = Membership.objects.select_related("org").filter(user=user)
    if org_id is not None:
        memberships = memberships.filter(org__public_id=org_id)
    membership = memberships.order_by("id").first()
    if membership is None:
        raise NotFound("You do not belong to an org. Ask an admin to invite you.")
    return Caller(user=user, org=membership.org, role=membership.role)


def own(caller: Caller, model: type[M]) -> models.QuerySet[M]:
    """Give the caller's org's rows of a table: the only way that api and web reach one."""
    return model._default_manager.filter(org=caller.org)


def fetch(caller: Caller, queryset: models.QuerySet[M], public_id: UUID | str) -> M:
    """Give one row by its public id. Raises: NotFound, whether it is not there or not theirs."""
    try:
        return queryset.get(org=caller.org, public_id=public_id)
    except (queryset.model.DoesNotExist, ValidationError, ValueError):
        raise NotFound(f"There is no such {queryset.model._meta.verbose_name}.") from None


def create_org(name: str) -> Org:
    """Make an org with a data key of its own."""
    org = Org(name=name, wrapped_key=b"")
    org.wrapped_key = _master().seal(new_key(), f"org|{org.public_id}")
    org.save()
    return org


@lru_cache(maxsize=1024)
def org_sealer(org_id: int) -> Sealer:
    """Give the sealer of an org's data key. Cost: one query the first time."""
    org = Org.objects.get(pk=org_id)
    return Sealer(_master().open(org.wrapped_key, f"org|{org.public_id}"))


def _master() -> Sealer:
    """Give the installation's sealer."""
    return master_sealer(settings.ROWMILL_ENCRYPTION_KEY)


def make_token() -> tuple[str, str]:
    """Make a token for a link. Shape: (the token, its hash as it is stored)."""
    token = secrets.token_urlsafe(32)
    return token, hash_token(token)


def hash_token(token: str) -> str:
    """Give a token's hash as it is stored."""
    return hashlib.sha256(token.encode()).hexdigest()


@transaction.atomic
def add_member(org: Org, email: str, role: str, password: str | None = None, *, staff: bool = False) -> User:
    """Make sure that a person exists and belongs to an org in a role. Again: changes the role, never the password."""
    user = User.objects.filter(email=email.lower()).first()
    if user is None:
        user = User.objects.create_user(email, password, is_staff=staff, is_superuser=staff)
    Membership.objects.update_or_create(org=org, user=user, defaults={"role": role})
    return user
