"""E-mail: what is written, to whom, and what happens when the server does not take it."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from django.core import mail as outbox

from rowmill.models import Membership, PayerAccount, User
from rowmill.notify import mail
from tests.conftest import People


@pytest.fixture
def account(people: People) -> PayerAccount:
    return PayerAccount.objects.create(
        org=people.acme,
        payer="UHC",
        base_url="https://api.test",
        token_url="https://api.test/t",
        client_id_sealed=b"",
        client_secret_sealed=b"",
    )


def test_every_admin_of_the_org_is_told_and_nobody_else(people: People, account: PayerAccount) -> None:
    Membership.objects.filter(user=people.bob).update(role="admin")
    User.objects.filter(pk=people.bob.pk).update(is_active=False)
    assert mail.tell_admins(people.acme, "payer_refuses", account=account, code="UNAUTHORIZED") == 1
    (message,) = outbox.outbox
    assert message.to == ["alice@acme.test"]
    assert message.subject == "UHC refuses the credentials of acme"
    assert f"/settings/payer-accounts/{account.public_id}/" in message.body
    assert "UNAUTHORIZED" in message.body


def test_a_line_break_in_a_name_forges_no_header(people: People, account: PayerAccount) -> None:
    people.acme.name = "acme\r\nBcc: spy@evil.test\r\n"
    assert mail.tell_admins(people.acme, "payer_refuses", account=account, code="X") == 1
    (message,) = outbox.outbox
    assert set(message.message().keys()) >= {"Subject", "To"}
    assert "Bcc" not in message.message()
    assert message.recipients() == ["alice@acme.test"]


def test_mail_goes_to_files_that_only_the_owner_reads(people: People, settings, tmp_path: Path) -> None:
    settings.EMAIL_BACKEND, settings.EMAIL_FILE_PATH = mail.FILE_BACKEND, str(tmp_path / "mail")
    assert mail.send_password_reset(people.alice, "http://127.0.0.1/x")
    (file,) = (tmp_path / "mail").iterdir()
    assert "http://127.0.0.1/x" in file.read_text()
    assert stat.S_IMODE((tmp_path / "mail").stat().st_mode) == 0o700


def test_a_mail_server_that_is_away_stops_nothing(people: People, settings) -> None:
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", 1
    assert not mail.send_password_reset(people.alice, "http://127.0.0.1/x")
