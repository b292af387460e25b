"""Sends e-mail to people: plain text from templates, about things and counts, never a cell of a file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import structlog
from django.conf import settings
from django.core.mail import EmailMessage
from django.template.loader import render_to_string

from rowmill.models import Invitation, Org, Role, User

log = structlog.get_logger("rowmill.notify")

FILE_BACKEND = "django.core.mail.backends.filebased.EmailBackend"


def goes_to_files() -> bool:
    """Tell whether mail is only written to files in the data directory: no mail server is set."""
    return bool(settings.EMAIL_BACKEND == FILE_BACKEND)


def send(to: str, template: str, context: Mapping[str, Any]) -> bool:
    """Send `mail/<template>.txt`, whose first line is the subject. Gives False where the mail server did not take it.

    A mail that fails stops nothing else: it is logged, and the page offers another way.
    """
    text = render_to_string(f"mail/{template}.txt", {**context, "base_url": settings.ROWMILL_BASE_URL})
    subject, _, body = text.lstrip().partition("\n")
    if goes_to_files():
        Path(settings.EMAIL_FILE_PATH).mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        EmailMessage(subject.strip(), body.strip() + "\n", settings.DEFAULT_FROM_EMAIL, [to]).send()
    except OSError as error:  # smtplib's errors are OSErrors too
        log.warning("mail_failed", kind=template, error_type=type(error).__name__)
        return False
    log.info("mail_sent", kind=template)
    return True


def absolute(path: str) -> str:
    """Give a path as an address that works from a mail: never from the request, whose Host anybody can set."""
    return f"{settings.ROWMILL_BASE_URL}{path}"


def send_invitation(invitation: Invitation, token: str, inviter: User) -> bool:
    """Tell somebody that they are invited, with the link. Gives False where the mail server did not take it."""
    return send(
        invitation.email,
        "invitation",
        {
            "org": invitation.org,
            "inviter": inviter,
            "role": invitation.get_role_display(),
            "link": absolute(f"/invitation/{token}/"),
            "expires_at": invitation.expires_at,
        },
    )


def send_password_reset(user: User, link: str) -> bool:
    """Send the link with which a password is chosen anew."""
    return send(user.email, "password_reset", {"user": user, "link": link})


def tell_admins(org: Org, subject_key: str, **context: Any) -> int:
    """Send `mail/<subject_key>.txt` to every admin of an org. Gives how many were sent.

    `context` is ids, codes and counts. "payer_refuses" takes account (PayerAccount) and code.
    """
    admins = User.objects.filter(memberships__org=org, memberships__role=Role.ADMIN, is_active=True).order_by("id")
    return sum(send(user.email, subject_key, {**context, "org": org, "user": user}) for user in admins)
