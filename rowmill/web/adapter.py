"""Sign-in: how allauth behaves here. Nobody signs up by themselves; people are invited."""

from __future__ import annotations

from typing import Any

from allauth.account.adapter import DefaultAccountAdapter
from django.http import HttpRequest


class AccountAdapter(DefaultAccountAdapter):  # type: ignore[misc]
    """Closes sign-up."""

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        """Tell that nobody signs up without an invitation."""
        return False

    def populate_username(self, request: HttpRequest, user: Any) -> None:
        """Leave out the user name: the address is enough."""
