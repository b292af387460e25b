"""Who is let in, in which role, and by which links."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from rowmill import orgs
from rowmill.errors import InputError, NotAllowed, NotFound, StateError
from rowmill.models import Invitation, Membership, Org, SignInLink, User
from tests.conftest import PASSWORD, People


@pytest.fixture
def alice(people: People) -> orgs.Caller:
    return orgs.find_caller(people.alice)


def membership(person: User) -> Membership:
    return Membership.objects.get(user=person)


def test_invitation_is_kept_as_a_hash_and_works_once(alice: orgs.Caller) -> None:
    invitation, token = orgs.invite_person(alice, " New@Acme.test ", "auditor")
    assert token not in str(Invitation.objects.filter(pk=invitation.pk).values().get())
    user, _ = orgs.accept_invitation(token, password=PASSWORD, name="New One")
    assert (user.email, user.name, user.check_password(PASSWORD)) == ("new@acme.test", "New One", True)
    assert membership(user).role == "auditor"
    with pytest.raises(NotFound):
        orgs.accept_invitation(token, password=PASSWORD)


def test_invitation_ends_after_seven_days(alice: orgs.Caller) -> None:
    invitation, token = orgs.invite_person(alice, "new@acme.test", "member")
    assert timedelta(days=6, hours=23) < invitation.expires_at - timezone.now() <= timedelta(days=7)
    Invitation.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    with pytest.raises(NotFound):
        orgs.accept_invitation(token, password=PASSWORD)
    assert not User.objects.filter(email="new@acme.test").exists()


def test_a_second_invitation_and_a_renewal_end_the_link_before(alice: orgs.Caller) -> None:
    _, first = orgs.invite_person(alice, "new@acme.test", "member")
    invitation, second = orgs.invite_person(alice, "new@acme.test", "member")
    third = orgs.renew_invitation(alice, invitation)
    for token in (first, second):
        with pytest.raises(NotFound):
            orgs.find_invitation(token)
    assert orgs.find_invitation(third) == invitation


def test_revoked_and_accepted_invitations_cannot_be_steered(alice: orgs.Caller) -> None:
    invitation, token = orgs.invite_person(alice, "new@acme.test", "member")
    orgs.accept_invitation(token, password=PASSWORD)
    with pytest.raises(StateError):
        orgs.revoke_invitation(alice, invitation)
    with pytest.raises(StateError):
        orgs.renew_invitation(alice, invitation)


def test_who_exists_joins_without_a_new_password_and_keeps_a_role_held(people: People, alice: orgs.Caller) -> None:
    _, token = orgs.invite_person(alice, "charlie@other.test", "member")
    user, _ = orgs.accept_invitation(token, password="something-else-entirely")
    assert user == people.charlie
    assert user.check_password(PASSWORD)
    assert orgs.find_caller(user, alice.org.public_id).role == "member"
    with pytest.raises(InputError):
        orgs.invite_person(alice, "charlie@other.test", "admin")


def test_a_disabled_account_is_not_let_in(people: People, alice: orgs.Caller) -> None:
    _, token = orgs.invite_person(alice, "charlie@other.test", "member")
    User.objects.filter(pk=people.charlie.pk).update(is_active=False)
    with pytest.raises(InputError):
        orgs.accept_invitation(token)
    assert Membership.objects.filter(user=people.charlie).count() == 1


def test_a_new_person_needs_a_password(alice: orgs.Caller) -> None:
    _, token = orgs.invite_person(alice, "new@acme.test", "member")
    with pytest.raises(InputError):
        orgs.accept_invitation(token)
    assert orgs.find_invitation(token).accepted_at is None


@pytest.mark.parametrize(("email", "role"), [("no-address", "member"), ("new@acme.test", "owner"), ("", "member")])
def test_what_cannot_be_is_not_invited(alice: orgs.Caller, email: str, role: str) -> None:
    with pytest.raises(InputError):
        orgs.invite_person(alice, email, role)
    assert not Invitation.objects.exists()


@pytest.mark.parametrize("who", ["bob", "ada"])
def test_only_admins_change_people(people: People, who: str) -> None:
    caller = orgs.find_caller(getattr(people, who))
    theirs = membership(people.alice)
    for verb in (
        lambda: orgs.invite_person(caller, "new@acme.test", "member"),
        lambda: orgs.change_role(caller, theirs, "member"),
        lambda: orgs.remove_person(caller, theirs),
    ):
        with pytest.raises(NotAllowed):
            verb()
    assert membership(people.alice).role == "admin"


def test_the_last_admin_stays(people: People, alice: orgs.Caller) -> None:
    with pytest.raises(StateError):
        orgs.change_role(alice, membership(people.alice), "member")
    with pytest.raises(StateError):
        orgs.remove_person(alice, membership(people.alice))
    orgs.change_role(alice, membership(people.bob), "admin")
    orgs.remove_person(alice, membership(people.alice))
    assert not Membership.objects.filter(user=people.alice).exists()


def test_a_disabled_admin_does_not_count(people: People, alice: orgs.Caller) -> None:
    orgs.change_role(alice, membership(people.bob), "admin")
    User.objects.filter(pk=people.bob.pk).update(is_active=False)
    with pytest.raises(StateError):
        orgs.remove_person(alice, membership(people.alice))


def test_another_orgs_people_are_out_of_reach(people: People, alice: orgs.Caller) -> None:
    orgs.add_member(people.other, "dora@other.test", "admin", PASSWORD)
    with pytest.raises(NotFound):
        orgs.change_role(alice, membership(people.charlie), "member")
    with pytest.raises(NotFound):
        orgs.remove_person(alice, membership(people.charlie))
    assert membership(people.charlie).role == "admin"


def test_first_admin_is_made_once_and_keeps_their_password(db: None) -> None:
    user = orgs.make_first_admin("Boss@Acme.test", PASSWORD, "acme")
    assert user is not None
    assert (user.email, user.is_staff, user.is_superuser) == ("boss@acme.test", True, True)
    assert orgs.find_caller(user).is_admin
    assert Org.objects.get().name == "acme"
    assert orgs.make_first_admin("boss@acme.test", "another-password-here", "acme") is None
    assert User.objects.get().check_password(PASSWORD)
    assert orgs.find_unclaimed_admin() is None


def test_without_an_address_the_first_admin_gets_a_link(db: None) -> None:
    user = orgs.make_first_admin()
    assert user is not None
    assert not user.has_usable_password()
    assert orgs.make_first_admin() is None
    assert orgs.find_unclaimed_admin() == user
    path = orgs.make_sign_in_link(user)
    token = path.split("/")[2]
    assert token not in str(SignInLink.objects.values().get())
    assert orgs.use_sign_in_link(token) == user
    with pytest.raises(NotFound):
        orgs.use_sign_in_link(token)


def test_a_sign_in_link_ends_after_an_hour_and_with_its_person(people: People) -> None:
    late = orgs.make_sign_in_link(people.bob).split("/")[2]
    SignInLink.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    disabled = orgs.make_sign_in_link(people.ada).split("/")[2]
    User.objects.filter(pk=people.ada.pk).update(is_active=False)
    for token in (late, disabled, "nothing"):
        with pytest.raises(NotFound):
            orgs.use_sign_in_link(token)
