"""Sign-in and settings, page by page: who sees what, the links that let people in, and what never comes out again."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.core.cache import cache
from django.test import Client

from rowmill import orgs
from rowmill.models import AuditEvent, Invitation, Membership, PayerAccount, Practice, User
from rowmill.notify import mail
from tests.conftest import PASSWORD, People

NEW_PASSWORD = "battery-staple-horse-9"
HTMX = {"HTTP_HX_REQUEST": "true", "HTTP_HX_CURRENT_URL": "http://testserver/jobs/"}
PAGES = ("/settings/people/", "/settings/practices/", "/settings/payer-accounts/")
SECRETS = ("canary-client-id", "canary-client-secret")


@pytest.fixture(autouse=True)
def _quick_passwords(settings) -> Iterator[None]:
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    cache.clear()  # the limits of sign-in
    yield
    cache.clear()


@pytest.fixture
def mails(settings, tmp_path: Path) -> Path:
    settings.EMAIL_BACKEND, settings.EMAIL_FILE_PATH = mail.FILE_BACKEND, str(tmp_path / "mail")
    return tmp_path / "mail"


@pytest.fixture
def alice(people: People) -> Client:
    return signed_in(people.alice)


def signed_in(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def last_link(mails: Path) -> str:
    """Give the path of the link in the newest mail."""
    newest = max(mails.iterdir(), key=lambda file: file.stat().st_mtime_ns)
    (link,) = re.findall(r"^http://127\.0\.0\.1:8000(/\S+)$", newest.read_text(), re.MULTILINE)
    return link


def verbs(people: People) -> list[str]:
    return list(AuditEvent.objects.filter(org=people.acme).values_list("verb", flat=True))


def account_form(**changes: str) -> dict[str, str]:
    return {
        "payer": "UHC",
        "practice": "",
        "payer_id": "87726",
        "environment": "sandbox",
        "base_url": "https://api.payer.test",
        "token_url": "https://api.payer.test/token",
        "client_id": SECRETS[0],
        "client_secret": SECRETS[1],
        "calls_per_minute": "60",
        "in_flight": "10",
        **changes,
    }


def make_account(alice: Client, **changes: str) -> PayerAccount:
    answer = alice.post("/settings/payer-accounts/new/", account_form(**changes))
    assert answer.status_code == 302, answer.content.decode()
    return PayerAccount.objects.latest("id")


# ------------------------------------------------------------------------------------------------ sign-in


def test_sign_in_and_out(people: People) -> None:
    client = Client()
    page = client.get("/accounts/login/?next=/jobs/")
    assert "There is no sign-up" in page.content.decode()
    wrong = client.post("/accounts/login/", {"login": "alice@acme.test", "password": "wrong-password-here"})
    assert wrong.status_code == 200
    assert 'class="alert alert-danger"' in wrong.content.decode()
    right = client.post(
        "/accounts/login/?next=/jobs/", {"login": "Alice@acme.test", "password": PASSWORD, "next": "/jobs/"}
    )
    assert (right.status_code, right["Location"]) == (302, "/jobs/")
    assert client.get("/settings/people/").status_code == 200
    assert client.get("/accounts/logout/").status_code == 200
    assert client.post("/accounts/logout/")["Location"] == "/accounts/login/"
    assert client.get("/settings/people/")["Location"] == "/accounts/login/?next=/settings/people/"


def test_guessing_is_slowed_down_with_a_page_that_says_so(people: People) -> None:
    client = Client()
    guess = {"login": "alice@acme.test", "password": "wrong-password-here"}
    answers = [client.post("/accounts/login/", guess) for _ in range(7)]
    assert any("many" in answer.content.decode().lower() for answer in answers[5:])
    assert client.post("/accounts/login/", {**guess, "password": PASSWORD}).status_code != 302


@pytest.mark.parametrize(
    "path", ["signup/", "email/", "confirm-email/", "confirm-email/abc:def/", "reauthenticate/", "login/code/confirm/"]
)
@pytest.mark.parametrize("method", ["get", "post"])
def test_what_is_not_for_invited_people_is_closed(people: People, path: str, method: str) -> None:
    form = {"email": "new@acme.test", "password1": NEW_PASSWORD, "action_add": "1"}
    for client in (Client(), signed_in(people.bob)):
        answer = getattr(client, method)("/accounts/" + path, form)
        assert answer.status_code == 404
    assert not User.objects.filter(email="new@acme.test").exists()


@pytest.mark.parametrize("path", ["inactive/", "password/reset/done/", "password/reset/key/done/", "password/reset/"])
def test_open_pages_of_sign_in_stand_in_the_frame(people: People, path: str) -> None:
    text = Client().get("/accounts/" + path).content.decode()
    assert 'class="page-title"' in text
    assert "css/people.css" in text


def test_reset_by_mail_ends_every_session(people: People, mails: Path) -> None:
    elsewhere = signed_in(people.alice)
    client = Client(headers={"host": "127.0.0.1"})
    known = client.post("/accounts/password/reset/", {"email": "alice@acme.test"})
    link = last_link(mails)
    unknown = client.post("/accounts/password/reset/", {"email": "nobody@acme.test"})
    assert (known.status_code, known["Location"]) == (unknown.status_code, unknown["Location"])
    assert len(list(mails.iterdir())) == 1, "nobody is written to who is not known here"
    form = client.get(client.get(link)["Location"])
    action = re.search(r'action="([^"]+)" class="stack"', form.content.decode())
    assert action
    weak = client.post(action[1], {"password1": "short", "password2": "short"})
    assert 'role="alert"' in weak.content.decode()
    done = client.post(action[1], {"password1": NEW_PASSWORD, "password2": NEW_PASSWORD}, follow=True)
    assert "Your new password is set" in done.content.decode()
    assert elsewhere.get("/settings/people/").status_code == 302
    assert Client().login(email="alice@acme.test", password=NEW_PASSWORD)
    assert "This link no longer works" in Client().get(link).content.decode()


def test_change_of_password_ends_every_session(people: People) -> None:
    here, elsewhere = signed_in(people.bob), signed_in(people.bob)
    form = {"oldpassword": PASSWORD, "password1": NEW_PASSWORD, "password2": NEW_PASSWORD}
    assert here.post("/accounts/password/change/", form)["Location"] == "/accounts/login/"
    assert here.get("/jobs/").status_code == elsewhere.get("/jobs/").status_code == 302


def test_disabling_ends_every_session(people: People) -> None:
    client = signed_in(people.bob)
    User.objects.filter(pk=people.bob.pk).update(is_active=False)
    assert client.get("/jobs/").status_code == 302


# ------------------------------------------------------------------------------------------------ sessions


def wind(client: Client, **seconds: int) -> None:
    """Set a session's clocks back."""
    session = client.session
    for name, ago in seconds.items():
        session[name] = int(time.time()) - ago
    session.save()


def test_a_session_ends_when_idle_and_polling_is_no_click(people: People) -> None:
    client = signed_in(people.bob)
    client.get("/jobs/")
    wind(client, seen_at=29 * 60)
    before = client.session["seen_at"]
    client.get("/jobs/?poll", **HTMX)
    client.get("/api/v1/claims/csv-jobs/")
    assert client.session["seen_at"] == before
    client.get("/jobs/")
    assert client.session["seen_at"] > before
    wind(client, seen_at=31 * 60)
    assert client.get("/jobs/").status_code == 302
    assert "_auth_user_id" not in client.session


def test_a_session_ends_after_twelve_hours_whatever_is_clicked(people: People) -> None:
    client = signed_in(people.bob)
    client.get("/jobs/")
    wind(client, began_at=12 * 3600 + 1, seen_at=0)
    assert client.get("/jobs/").status_code == 302


def test_a_poll_after_the_end_sends_the_whole_page_to_sign_in(people: People) -> None:
    answer = Client().get("/jobs/?poll", **HTMX)
    assert (answer.status_code, answer["HX-Redirect"]) == (204, "/accounts/login/?next=/jobs/")


# ------------------------------------------------------------------------------------------------ links


def test_invitation_end_to_end(people: People, alice: Client, mails: Path) -> None:
    shown = alice.post("/settings/people/invite/", {"email": "New@acme.test", "role": "member"})
    link = last_link(mails)
    assert link in shown.content.decode(), "without a mail server the admin hands the link over"
    assert link not in alice.get("/settings/people/").content.decode(), "shown this once"
    client = Client()
    assert client.get(link).status_code == 200
    weak = client.post(link, {"name": "New One", "password": "new@acme.test"})
    assert weak.status_code == 400
    assert client.post(link, {"name": "New One", "password": NEW_PASSWORD})["Location"] == "/bulk-upload"
    assert "New One" in client.get("/settings/people/").content.decode()
    assert Client().post(link, {"name": "Second", "password": NEW_PASSWORD}).status_code == 404
    assert verbs(people)[-2:] == ["person.invited", "invitation.accepted"]


def test_who_exists_joins_and_signs_in_by_themselves(people: People, alice: Client, mails: Path) -> None:
    alice.post("/settings/people/invite/", {"email": "charlie@other.test", "role": "auditor"})
    link = last_link(mails)
    stranger = Client()
    assert "password" not in stranger.get(link).content.decode().replace("with your password", "")
    assert stranger.post(link)["Location"] == "/accounts/login/"
    assert "_auth_user_id" not in stranger.session, "the link alone signs nobody in who exists"
    charlie = signed_in(people.charlie)
    assert "Work in acme" in charlie.get("/orgs/").content.decode()


def test_invitation_is_renewed_and_revoked(people: People, alice: Client, mails: Path) -> None:
    alice.post("/settings/people/invite/", {"email": "new@acme.test", "role": "member"})
    first, invitation = last_link(mails), Invitation.objects.get()
    alice.post(f"/settings/invitations/{invitation.public_id}/resend/")
    second = last_link(mails)
    assert Client().get(first).status_code == 404
    assert Client().get(second).status_code == 200
    alice.post(f"/settings/invitations/{invitation.public_id}/revoke/")
    assert Client().get(second).status_code == 404


def test_sign_in_link_needs_a_click_and_works_once(people: People) -> None:
    user = orgs.make_first_admin()
    user = user or User.objects.create_user("boss@acme.test")
    orgs.add_member(people.acme, user.email, "admin")
    link = orgs.make_sign_in_link(user)
    client = Client()
    assert client.get(link).status_code == client.get(link).status_code == 200
    assert client.post(link)["Location"] == "/accounts/password/set/"
    assert "Choose a password" in client.get("/accounts/password/set/").content.decode()
    assert Client().post(link).status_code == 404
    form = {"password1": NEW_PASSWORD, "password2": NEW_PASSWORD}
    assert client.post("/accounts/password/set/", form)["Location"] == "/accounts/login/"
    assert Client().login(email="boss@acme.test", password=NEW_PASSWORD)


# ------------------------------------------------------------------------------------------------ people


@pytest.mark.parametrize("path", PAGES)
def test_every_member_reads_and_only_admins_get_buttons(people: People, alice: Client, path: str) -> None:
    make_account(alice)
    for user in (people.alice, people.bob, people.ada):
        text = signed_in(user).get(path).content.decode().split("<main", 1)[1]
        assert ("<form" in text or "/new/" in text) is (user == people.alice)
        assert ("api.payer.test" in text) is (user == people.alice and path == PAGES[2])
    assert "alice@acme.test" not in signed_in(people.charlie).get(path).content.decode()


def test_only_admins_change_and_another_orgs_things_are_not_there(people: People, alice: Client) -> None:
    account = make_account(alice)
    practice = Practice.objects.create(org=people.acme, name="Clinic", tin="990000001")
    invitation, _ = orgs.invite_person(orgs.find_caller(people.alice), "new@acme.test", "member")
    theirs = Membership.objects.get(user=people.bob)
    before = [list(model.objects.values()) for model in (Membership, Practice, PayerAccount, Invitation)]
    paths = [
        f"/settings/people/{theirs.pk}/role/",
        f"/settings/people/{theirs.pk}/remove/",
        f"/settings/invitations/{invitation.public_id}/resend/",
        f"/settings/invitations/{invitation.public_id}/revoke/",
        f"/settings/practices/{practice.public_id}/",
        f"/settings/practices/{practice.public_id}/remove/",
        f"/settings/payer-accounts/{account.public_id}/",
        f"/settings/payer-accounts/{account.public_id}/remove/",
        f"/settings/payer-accounts/{account.public_id}/test/",
    ]
    form = {"role": "admin", "name": "X", "tin": "990000002", **account_form()}
    for path in paths:
        assert signed_in(people.bob).post(path, form).status_code == 403, path
        assert signed_in(people.ada).post(path, form).status_code == 403, path
        assert signed_in(people.charlie).post(path, form).status_code == 404, path
        assert Client().post(path, form).status_code == 302, path
    assert before == [list(model.objects.values()) for model in (Membership, Practice, PayerAccount, Invitation)]


def test_role_and_removal_with_the_last_admin_kept(people: People, alice: Client) -> None:
    mine, bobs = Membership.objects.get(user=people.alice), Membership.objects.get(user=people.bob)
    page = alice.post(f"/settings/people/{mine.pk}/remove/", follow=True).content.decode()
    assert "last admin" in page
    assert alice.post(f"/settings/people/{bobs.pk}/role/", {"role": "owner"}).status_code == 400
    alice.post(f"/settings/people/{bobs.pk}/role/", {"role": "auditor"})
    bobs.refresh_from_db()
    assert bobs.role == "auditor"
    bob = signed_in(people.bob)
    alice.post(f"/settings/people/{bobs.pk}/remove/")
    assert bob.get("/jobs/").status_code == 403
    assert verbs(people)[-2:] == ["person.role_changed", "person.removed"]


def test_switching_orgs_is_asked_for_and_never_slips(people: People) -> None:
    orgs.add_member(people.other, "bob@acme.test", "admin")
    bob = signed_in(people.bob)
    assert bob.post("/orgs/switch/", {"org": str(people.other.public_id)})["Location"] == "/bulk-upload"
    assert "charlie@other.test" in bob.get("/settings/people/").content.decode()
    Membership.objects.filter(user=people.bob, org=people.other).delete()
    assert bob.get("/settings/people/")["Location"] == "/orgs/", "not into acme without being asked"
    bob.get("/orgs/")
    assert "alice@acme.test" in bob.get("/settings/people/").content.decode()
    for wrong in (str(people.other.public_id), "no-id", ""):
        assert bob.post("/orgs/switch/", {"org": wrong})["Location"] == "/orgs/"


def test_who_never_switched_does_not_slip_into_another_org_either(people: People) -> None:
    orgs.add_member(people.other, "bob@acme.test", "admin")
    bob = signed_in(people.bob)
    assert "alice@acme.test" in bob.get("/settings/people/").content.decode()
    Membership.objects.filter(user=people.bob, org=people.acme).delete()
    assert bob.get("/settings/people/")["Location"] == "/orgs/", "not into the other clinic without being asked"
