"""Sign-in: how allauth behaves here. Nobody signs up by themselves; people are invited."""

from __future__ import annotations

from typing import Any

from allauth.account.adapter import DefaultAccountAdapter
from django.conf import settings
from django.http import HttpRequest
from django.urls import reverse

from rowmill.models import User
from rowmill.notify import mail


class AccountAdapter(DefaultAccountAdapter):  # type: ignore[misc]
    """Closes sign-up, and sends mail through `notify`."""

    error_messages = {
        **DefaultAccountAdapter.error_messages,
        "email_password_mismatch": "No account has this e-mail and this password. Type both again, or choose a new one.",
        "too_many_login_attempts": "Too many tries. Wait five minutes, then try again, or choose a new password.",
        "incorrect_password": "This is not your present password. Type it again.",
        "enter_current_password": "This is not your present password. Type it again.",
        "account_inactive": "This account is disabled. Ask whoever runs this installation.",
    }

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        """Tell that nobody signs up without an invitation."""
        return False

    def populate_username(self, request: HttpRequest, user: Any) -> None:
        """Leave out the user name: the address is enough."""

    def get_reset_password_from_key_url(self, key: str) -> str:
        """Give the link of a password reset, under the installation's own address: a request's Host can be forged."""
        uid, token = key.split("-", 1)
        return mail.absolute(reverse("account_reset_password_from_key", kwargs={"uidb36": uid, "key": token}))

    def send_password_reset_mail(self, user: User, email: str, context: dict[str, Any]) -> None:
        """Send the link to the address on file, never to the one that was typed."""
        mail.send_password_reset(user, context["password_reset_url"])

    def send_mail(self, template_prefix: str, email: str, context: dict[str, Any]) -> None:
        """Send nothing else: the other mails of allauth belong to sign-up, which is closed."""

    def get_password_change_redirect_url(self, request: HttpRequest) -> str:
        """Go to sign-in: a new password ends every session, this one too."""
        return str(settings.ACCOUNT_LOGOUT_REDIRECT_URL)
