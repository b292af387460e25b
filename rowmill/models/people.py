"""Who is there: orgs, their people, practices and payer accounts."""

from __future__ import annotations

from typing import ClassVar
from uuid import uuid4

from django.contrib.auth.models import AbstractBaseUser, BaseUserManager, PermissionsMixin
from django.db import models
from django.utils import timezone


class Org(models.Model):
    """The wall: every row of every table belongs to one. `wrapped_key` is its data key under the installation's key.

    `go_ahead_percent`: an import that would change a larger share of its rows' counterparts waits for somebody's word.
    """

    public_id = models.UUIDField(default=uuid4, unique=True, editable=False)
    name = models.CharField(max_length=200)
    wrapped_key = models.BinaryField(editable=False)
    iso_dates = models.BooleanField(default=False, help_text="Results files carry 2026-11-22 instead of 11/22/2026.")
    go_ahead_percent = models.PositiveSmallIntegerField(default=20)
    created_at = models.DateTimeField(default=timezone.now)

    def __str__(self) -> str:
        return self.name


class UserManager(BaseUserManager["User"]):
    """Makes users by e-mail address."""

    def create_user(self, email: str, password: str | None = None, **fields: object) -> User:
        """Make a person; without a password they come in by a link."""
        user = self.model(email=self.normalize_email(email).lower(), **fields)
        user.set_password(password)
        user.save(using=self._db)
        return user

    def create_superuser(self, email: str, password: str | None = None, **fields: object) -> User:
        """Make a person who may use Django's admin."""
        return self.create_user(email, password, is_staff=True, is_superuser=True, **fields)


class User(AbstractBaseUser, PermissionsMixin):
    """A person, known by e-mail address."""

    email = models.EmailField(unique=True)
    name = models.CharField(max_length=150, blank=True)
    is_staff = models.BooleanField(default=False)
    is_active = models.BooleanField(default=True)
    created_at = models.DateTimeField(default=timezone.now)

    objects: ClassVar[UserManager] = UserManager()
    USERNAME_FIELD = "email"
    EMAIL_FIELD = "email"
    REQUIRED_FIELDS: ClassVar[list[str]] = []

    def __str__(self) -> str:
        return self.email

    def get_full_name(self) -> str:
        """Give the name, or the address where there is none."""
        return self.name or self.email


class Role(models.TextChoices):
    """What a person may do in an org. An auditor reads and changes nothing."""

    ADMIN = "admin", "Admin"
    MEMBER = "member", "Member"
    AUDITOR = "auditor", "Auditor"


class Membership(models.Model):
    """A person in an org."""

    org = models.ForeignKey(Org, on_delete=models.CASCADE, related_name="memberships")
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="memberships")
    role = models.CharField(max_length=10, choices=Role, default=Role.MEMBER)
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = (models.UniqueConstraint(fields=["org", "user"], name="membership_once"),)

    def __str__(self) -> str:
        return f"{self.user_id} in {self.org_id}: {self.role}"


class Invitation(models.Model):
    """An invitation by e-mail. Only the hash of its token is kept."""

    org = models.ForeignKey(Org, on_delete=models.CASCADE, related_name="invitations")
    public_id = models.UUIDField(default=uuid4, unique=True, editable=False)
    email = models.EmailField()
    role = models.CharField(max_length=10, choices=Role, default=Role.MEMBER)
    token_hash = models.CharField(max_length=64, unique=True)
    invited_by = models.ForeignKey(User, on_delete=models.SET_NULL, null=True)
    created_at = models.DateTimeField(default=timezone.now)
    expires_at = models.DateTimeField()
    accepted_at = models.DateTimeField(null=True, blank=True)

    def __str__(self) -> str:
        return f"invitation {self.pk} to org {self.org_id}"


class SignInLink(models.Model):
    """A link that signs one person in once. Only the hash of its token is kept."""

    user = models.ForeignKey(User, on_delete=models.CASCADE)
    token_hash = models.CharField(max_length=64, unique=True)
    created_at = models.DateTimeField(default=timezone.now)
    expires_at = models.DateTimeField()
    used_at = models.DateTimeField(null=True, blank=True)

    def __str__(self) -> str:
        return f"sign-in link {self.pk}"


class Practice(models.Model):
    """A provider in the sense of billing: a clinic or doctor with an NPI and a TIN, in whose name payers are asked."""

    org = models.ForeignKey(Org, on_delete=models.CASCADE, related_name="practices")
    public_id = models.UUIDField(default=uuid4, unique=True, editable=False)
    name = models.CharField(max_length=200)
    tin = models.CharField("TIN", max_length=9)
    npi = models.CharField("NPI", max_length=10, blank=True)
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ("name", "id")
        constraints = (models.UniqueConstraint(fields=["org", "tin"], name="practice_tin_once"),)

    def __str__(self) -> str:
        return self.name


class PayerAccount(models.Model):
    """An org's credentials for a payer. The secrets are sealed with the org's key and never shown again.

    Units: calls_per_minute 0 = no limit of ours. `broken_code` is set while the payer refuses the credentials.
    """

    org = models.ForeignKey(Org, on_delete=models.CASCADE, related_name="payer_accounts")
    public_id = models.UUIDField(default=uuid4, unique=True, editable=False)
    payer = models.CharField(max_length=40)
    practice = models.ForeignKey(
        Practice, on_delete=models.CASCADE, null=True, blank=True, related_name="payer_accounts"
    )
    payer_id = models.CharField("payer ID", max_length=20, default="87726")
    base_url = models.URLField(max_length=500)
    token_url = models.URLField(max_length=500)
    environment = models.CharField(max_length=40, blank=True)
    client_id_sealed = models.BinaryField(editable=False)
    client_secret_sealed = models.BinaryField(editable=False)
    calls_per_minute = models.PositiveIntegerField(default=0)
    in_flight = models.PositiveIntegerField(default=10)
    broken_code = models.CharField(max_length=40, blank=True, editable=False)
    broken_at = models.DateTimeField(null=True, blank=True, editable=False)
    tested_at = models.DateTimeField(null=True, blank=True, editable=False)
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ("payer", "id")

    def __str__(self) -> str:
        return f"{self.payer} account {self.public_id}"
