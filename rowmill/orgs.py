"""Who may see what: the one place that turns a person into an org, and an org into its own rows."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache
from typing import TypeVar
from uuid import UUID

from django.conf import settings
from django.core.exceptions import ObjectDoesNotExist, ValidationError
from django.core.validators import validate_email
from django.db import models, transaction
from django.utils import timezone

from rowmill import audit
from rowmill.errors import ConfigError, InputError, NotAllowed, NotFound, StateError
from rowmill.models import Invitation, Membership, Org, Role, SignInLink, User
from rowmill.storage.seal import Sealer, master_sealer, new_key

M = TypeVar("M", bound=models.Model)

INVITATION_LIFE = timedelta(days=7)
SIGN_IN_LINK_LIFE = timedelta(hours=1)
DEFAULT_ADMIN_EMAIL = "admin@localhost"


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
    except (ObjectDoesNotExist, ValidationError, ValueError):
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


def need_key() -> None:
    """Raises: ConfigError where the installation's key is none, or not the one that the orgs' keys were sealed with.

    With another key no payer account opens and no answer can be kept: every row would fail.
    """
    master = _master()
    for org in Org.objects.order_by("id")[:1]:
        try:
            master.open(org.wrapped_key, f"org|{org.public_id}")
        except ConfigError:
            raise ConfigError(
                "This database was made with another encryption key. Put the file keys/encryption.key of its data "
                "directory back, or set ROWMILL_ENCRYPTION_KEY to the key it was made with. Nothing was changed."
            ) from None


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


# ------------------------------------------------------------------------------------------------ invitations


@transaction.atomic
def invite_person(caller: Caller, email: str, role: str) -> tuple[Invitation, str]:
    """Invite somebody by e-mail; an older invitation of the same address ends. The caller of this verb sends the mail.

    Shape: (the invitation, its token, which is told here and never again).
    Raises: NotAllowed; InputError for an address or role that cannot be, and for one who is in already.
    """
    caller.need_admin()
    email = _read_email(email)
    _need_role(role)
    if Membership.objects.filter(org=caller.org, user__email=email).exists():
        raise InputError(
            "This person is already in the org. Change the role in the list instead.", code="already_member"
        )
    Invitation.objects.filter(org=caller.org, email=email, accepted_at=None).delete()
    token, token_hash = make_token()
    invitation = Invitation.objects.create(
        org=caller.org,
        email=email,
        role=role,
        token_hash=token_hash,
        invited_by=caller.user,
        expires_at=timezone.now() + INVITATION_LIFE,
    )
    return invitation, token


def renew_invitation(caller: Caller, invitation: Invitation) -> str:
    """Give a pending invitation a new token and seven more days; the link sent before ends.

    Raises: NotAllowed; StateError where it was accepted meanwhile.
    """
    caller.need_admin()
    token, token_hash = make_token()
    changed = Invitation.objects.filter(pk=invitation.pk, org=caller.org, accepted_at=None).update(
        token_hash=token_hash, expires_at=timezone.now() + INVITATION_LIFE, invited_by=caller.user
    )
    if changed != 1:
        raise StateError("This invitation was accepted already.")
    return token


def revoke_invitation(caller: Caller, invitation: Invitation) -> None:
    """End a pending invitation. Raises: NotAllowed, StateError where it was accepted meanwhile."""
    caller.need_admin()
    removed, _ = Invitation.objects.filter(pk=invitation.pk, org=caller.org, accepted_at=None).delete()
    if not removed:
        raise StateError("This invitation was accepted already. Remove the person in the list instead.")


def find_invitation(token: str) -> Invitation:
    """Give the pending invitation of a token. Raises: NotFound for one that is used, revoked or too old."""
    pending = Invitation.objects.select_related("org").filter(accepted_at=None, expires_at__gt=timezone.now())
    invitation = pending.filter(token_hash=hash_token(token)).first()
    if invitation is None:
        raise NotFound("This invitation was used, revoked or is older than seven days. Ask an admin for a new one.")
    return invitation


@transaction.atomic
def accept_invitation(token: str, *, password: str | None = None, name: str = "") -> tuple[User, Invitation]:
    """Take an invitation up: make the person with a password, or let the one who exists join.

    A role held already is kept. Raises: NotFound for a token that is of no use (any more); InputError where a new
    person gives no password, and where the account was disabled.
    """
    invitation = find_invitation(token)
    user = User.objects.filter(email=invitation.email).first()
    if user is None and not password:
        raise InputError("Choose a password.", code="password_missing")
    if user is not None and not user.is_active:
        raise InputError("This account is disabled. Ask whoever runs this installation.", code="disabled")
    used = Invitation.objects.filter(pk=invitation.pk, accepted_at=None).update(accepted_at=timezone.now())
    if used != 1:
        raise NotFound("This invitation was used already.")
    if user is None:
        user = User.objects.create_user(invitation.email, password, name=name)
    Membership.objects.get_or_create(org=invitation.org, user=user, defaults={"role": invitation.role})
    return user, invitation


# ------------------------------------------------------------------------------------------------ roles


@transaction.atomic
def change_role(caller: Caller, membership: Membership, role: str) -> None:
    """Give somebody of the org another role.

    Raises: NotAllowed, InputError, NotFound; StateError for the last admin.
    """
    caller.need_admin()
    _need_role(role)
    hold_org(caller.org)
    if role != Role.ADMIN:
        _keep_an_admin(membership)
    if Membership.objects.filter(pk=membership.pk, org=caller.org).update(role=role) != 1:
        raise NotFound("There is no such person in this org.")


@transaction.atomic
def remove_person(caller: Caller, membership: Membership) -> None:
    """Take somebody out of the org; what they did stays in the trail.

    Raises: NotAllowed, NotFound; StateError for the last admin.
    """
    caller.need_admin()
    hold_org(caller.org)
    _keep_an_admin(membership)
    removed, _ = Membership.objects.filter(pk=membership.pk, org=caller.org).delete()
    if not removed:
        raise NotFound("There is no such person in this org.")


def hold_org(org: Org) -> None:
    """Lock an org until the transaction ends; rows can still be added under it. The last lock to take."""
    Org.objects.select_for_update(no_key=True).get(pk=org.pk)


def _keep_an_admin(membership: Membership) -> None:
    """Raises: StateError where an org would be left without an admin who can sign in."""
    others = Membership.objects.filter(org_id=membership.org_id, role=Role.ADMIN, user__is_active=True)
    current = Membership.objects.filter(pk=membership.pk).values_list("role", flat=True).first()
    if current == Role.ADMIN and not others.exclude(pk=membership.pk).exists():
        raise StateError("This is the org's last admin. Make somebody else an admin first.")


def _need_role(role: str) -> None:
    """Raises: InputError unless it is one of the three roles."""
    if role not in Role.values:
        raise InputError(f"A role is one of {', '.join(Role.values)}.", code="bad_role")


def _read_email(text: str) -> str:
    """Give an address as it is stored. Raises: InputError."""
    email = text.strip().lower()
    try:
        validate_email(email)
    except ValidationError:
        raise InputError("This is not an e-mail address. It looks like name@example.org.", code="bad_email") from None
    return email


# ------------------------------------------------------------------------------------------------ settings


@transaction.atomic
def set_go_ahead(caller: Caller, percent: int) -> None:
    """Set above which share of changed rows an import waits for a word. Raises: NotAllowed, InputError bad_option."""
    caller.need_admin()
    if not 0 <= percent <= 100:
        raise InputError(
            "go_ahead_percent takes a whole number from 0 to 100.", code="bad_option", field="go_ahead_percent"
        )
    before = caller.org.go_ahead_percent
    Org.objects.filter(pk=caller.org.pk).update(go_ahead_percent=percent)
    caller.org.go_ahead_percent = percent
    audit.record(
        caller.org, caller.user, "org.changed", "org", caller.org.public_id, go_ahead_percent=percent, before=before
    )


# ------------------------------------------------------------------------------------------------ the first admin


@transaction.atomic
def make_first_admin(email: str = "", password: str = "", org_name: str = "") -> User | None:
    """Make the first admin, and the org where there is none. Gives the person made, None where nothing had to be done.

    Without an address it is admin@localhost, made only while no org has an admin. Again: never touches a person who is
    there, nor their password or roles.
    """
    if email:
        email = _read_email(email)
        if User.objects.filter(email=email).exists():
            return None
    elif Membership.objects.filter(role=Role.ADMIN).exists():
        return None
    org = Org.objects.order_by("id").first() or create_org(org_name or "My organisation")
    return add_member(org, email or DEFAULT_ADMIN_EMAIL, Role.ADMIN, password or None, staff=True)


def find_unclaimed_admin() -> User | None:
    """Give the first admin for as long as they have no password: whoever starts Rowmill hands them a sign-in link."""
    admins = User.objects.filter(is_superuser=True, is_active=True).order_by("id")
    return next((user for user in admins if not user.has_usable_password()), None)


def make_sign_in_link(user: User) -> str:
    """Make a link that signs a person in once, within the hour. Shape: the path, without host."""
    token, token_hash = make_token()
    SignInLink.objects.create(user=user, token_hash=token_hash, expires_at=timezone.now() + SIGN_IN_LINK_LIFE)
    return f"/sign-in/{token}/"


def use_sign_in_link(token: str) -> User:
    """Use a sign-in link up and give its person. Raises: NotFound for one that is used or too old."""
    links = SignInLink.objects.filter(token_hash=hash_token(token), user__is_active=True)
    if links.filter(used_at=None, expires_at__gt=timezone.now()).update(used_at=timezone.now()) != 1:
        raise NotFound(
            "This sign-in link was used or is older than an hour. Restart Rowmill for a new one, or reset the password."
        )
    return links.select_related("user").get().user
