"""The forms of sign-in and settings, in the page's own dress."""

from __future__ import annotations

from typing import Any

from allauth.account.forms import (
    ChangePasswordForm,
    LoginForm,
    ResetPasswordForm,
    ResetPasswordKeyForm,
    SetPasswordForm,
)
from django import forms
from django.contrib.auth.password_validation import validate_password

from rowmill import registry
from rowmill.claims.credentials import MAX_CALLS_PER_MINUTE, MAX_IN_FLIGHT
from rowmill.errors import InputError
from rowmill.models import PayerAccount, Practice, Role, User

RULE_OF_LENGTH = "At least 12 characters. A few words in a row are easy to keep in mind."
ROLE_HELP = "An admin also changes these settings. A member uploads and works. An auditor reads and changes nothing."
URL_HELP = "https:// only; plain http:// for this same machine."
KEEP_OR_REPLACE = "Set. Leave blank to keep it, or type a new one to replace it."


class Dressed(forms.Form):
    """Gives inputs the classes of the page."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for field in self.fields.values():
            widget = field.widget
            is_choice = isinstance(widget, forms.Select)
            widget.attrs["class"] = "form-select" if is_choice else "form-control"
            widget.attrs.pop("placeholder", None)
            field.error_messages["required"] = "Fill this in."

    def take_error(self, error: InputError) -> None:
        """Show a verb's error at its field."""
        field = error.details.get("field")
        self.add_error(field if field in self.fields else None, str(error))


# ------------------------------------------------------------------------------------------------ sign-in


class SignIn(Dressed, LoginForm):  # type: ignore[misc]
    """E-mail and password."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["login"].label = "E-mail"
        self.fields["login"].widget.attrs["autofocus"] = True
        self.fields["password"].help_text = ""


class ChangePassword(Dressed, ChangePasswordForm):  # type: ignore[misc]
    """The old password and the new one, twice."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        _label(self, oldpassword="Present password", password1="New password", password2="New password once more")


class SetPassword(Dressed, SetPasswordForm):  # type: ignore[misc]
    """The first password, twice."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        _label(self, password1="Password", password2="Password once more")


class ResetPassword(Dressed, ResetPasswordForm):  # type: ignore[misc]
    """The address to which a link shall go."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        _label(self, email="E-mail")


class ResetPasswordKey(Dressed, ResetPasswordKeyForm):  # type: ignore[misc]
    """The new password, twice."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        _label(self, password1="New password", password2="New password once more")


def _label(form: forms.Form, **labels: str) -> None:
    """Put labels on fields, and the rules at the first of two passwords."""
    for name, label in labels.items():
        form.fields[name].label = label
        form.fields[name].help_text = RULE_OF_LENGTH if name == "password1" else ""


class JoinOrg(Dressed):
    """A new person's name and password."""

    name = forms.CharField(max_length=150, label="Your name", widget=forms.TextInput(attrs={"autocomplete": "name"}))
    password = forms.CharField(
        max_length=200,
        label="Password",
        help_text=RULE_OF_LENGTH,
        strip=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
    )

    def __init__(self, *args: Any, email: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._email = email

    def clean_password(self) -> str:
        """Hold the password against the rules."""
        password: str = self.cleaned_data["password"]
        validate_password(password, User(email=self._email, name=self.cleaned_data.get("name", "")))
        return password


# ------------------------------------------------------------------------------------------------ settings


class Invite(Dressed):
    """Whom to invite, and as what."""

    email = forms.CharField(
        max_length=254, label="E-mail", widget=forms.EmailInput(attrs={"autocomplete": "off", "inputmode": "email"})
    )
    role = forms.ChoiceField(choices=Role.choices, initial=Role.MEMBER, label="Role", help_text=ROLE_HELP)


class EditPractice(Dressed):
    """A practice's name and numbers."""

    name = forms.CharField(max_length=200, label="Name", widget=forms.TextInput(attrs={"autocomplete": "off"}))
    tin = forms.CharField(
        max_length=20,
        label="TIN",
        help_text="Nine digits, with or without dash: 12-3456789.",
        widget=forms.TextInput(attrs={"inputmode": "numeric", "autocomplete": "off"}),
    )
    npi = forms.CharField(
        max_length=20,
        required=False,
        label="NPI",
        help_text="Ten digits. Blank where there is none.",
        widget=forms.TextInput(attrs={"inputmode": "numeric", "autocomplete": "off"}),
    )

    @classmethod
    def of(cls, practice: Practice) -> EditPractice:
        """Show what a practice is."""
        return cls(initial={"name": practice.name, "tin": practice.tin, "npi": practice.npi})


class EditAccount(Dressed):
    """A payer account; its credentials go in and never come out."""

    payer = forms.ChoiceField(label="Payer")
    practice = forms.ChoiceField(required=False, label="Practice", help_text="For whose claims this account is used.")
    payer_id = forms.CharField(
        max_length=20, initial="87726", label="Payer ID", help_text="As in the payer's list: 87726."
    )
    environment = forms.CharField(
        max_length=40, required=False, label="Environment", help_text="As the payer names it, for example sandbox."
    )
    base_url = forms.CharField(max_length=500, label="API address", help_text=URL_HELP)
    token_url = forms.CharField(max_length=500, label="Token address", help_text=URL_HELP)
    client_id = forms.CharField(max_length=500, label="Client ID", widget=forms.PasswordInput())
    client_secret = forms.CharField(max_length=2000, label="Client secret", strip=False, widget=forms.PasswordInput())
    calls_per_minute = forms.IntegerField(
        min_value=0,
        max_value=MAX_CALLS_PER_MINUTE,
        initial=0,
        label="Calls per minute",
        help_text="0: no limit of ours.",
    )
    in_flight = forms.IntegerField(
        min_value=1,
        max_value=MAX_IN_FLIGHT,
        initial=10,
        label="Calls in flight",
        help_text="How many may run at a time.",
    )

    def __init__(self, *args: Any, account: PayerAccount, practices: list[Practice], **kwargs: Any) -> None:
        if account.pk is not None:
            kwargs["initial"] = _shown(account)
        super().__init__(*args, **kwargs)
        self._choice("payer").choices = [(slug, slug) for slug in sorted(registry.PAYERS)]
        self._choice("practice").choices = [
            ("", "Every practice"),
            *((str(practice.public_id), practice.name) for practice in practices),
        ]
        for name in ("client_id", "client_secret"):
            self.fields[name].widget.attrs["autocomplete"] = "new-password"
            if account.pk is not None:
                self.fields[name].required = False
                self.fields[name].help_text = KEEP_OR_REPLACE

    def _choice(self, name: str) -> forms.ChoiceField:
        """Give a field whose choices depend on the org."""
        field = self.fields[name]
        assert isinstance(field, forms.ChoiceField)
        return field


def _shown(account: PayerAccount) -> dict[str, Any]:
    """Give what of an account may be seen."""
    names = ("payer", "payer_id", "environment", "base_url", "token_url", "calls_per_minute", "in_flight")
    shown = {name: getattr(account, name) for name in names}
    return {**shown, "practice": str(account.practice.public_id) if account.practice else ""}
