"""Sealed values open with their own key at their own place, and nowhere else."""

from __future__ import annotations

import base64

import pytest

from rowmill.errors import ConfigError
from rowmill.storage.seal import Sealer, master_sealer, new_key


def test_what_is_sealed_opens_again_and_looks_like_nothing():
    sealer = Sealer(new_key())
    sealed = sealer.seal(b"plain text", "result|1|2")
    assert sealer.open(sealed, "result|1|2") == b"plain text"
    assert sealer.open(memoryview(sealed), "result|1|2") == b"plain text"
    assert b"plain" not in sealed
    assert sealer.seal(b"plain text", "result|1|2") != sealed


def test_it_does_not_open_elsewhere_nor_by_another_key_nor_changed():
    key = new_key()
    sealed = Sealer(key).seal(b"plain", "result|1|2")
    changed = sealed[:-1] + bytes([sealed[-1] ^ 1])
    for sealer, value, place in (
        (Sealer(key), sealed, "result|1|3"),
        (Sealer(new_key()), sealed, "result|1|2"),
        (Sealer(key), changed, "result|1|2"),
        (Sealer(key), sealed[:20], "result|1|2"),
    ):
        with pytest.raises(ConfigError) as told:
            sealer.open(value, place)
        assert "plain" not in str(told.value)


def test_a_form_of_another_release_is_named_as_such():
    with pytest.raises(ConfigError, match="newer release"):
        Sealer(new_key()).open(b"\x02whatever", "place")


@pytest.mark.parametrize(
    "text",
    ["", "short", base64.b64encode(b"x" * 31).decode(), "not base64 at all!", base64.b64encode(b"x" * 33).decode()],
)
def test_a_wrong_master_key_stops_the_start(text: str):
    with pytest.raises(ConfigError, match="base64 of 32 bytes"):
        master_sealer(text)


def test_digests_differ_by_purpose_and_key():
    one, two = Sealer(new_key()), Sealer(new_key())
    assert one.mac(b"m", "audit|1") == one.mac(b"m", "audit|1")
    assert (
        len({one.mac(b"m", "audit|1"), one.mac(b"m", "audit|2"), two.mac(b"m", "audit|1"), one.mac(b"n", "audit|1")})
        == 4
    )


def test_orgs_cannot_open_each_others_values(people):
    from rowmill.orgs import org_sealer

    sealed = org_sealer(people.acme.pk).seal(b"plain", "place")
    assert org_sealer(people.acme.pk).open(sealed, "place") == b"plain"
    with pytest.raises(ConfigError):
        org_sealer(people.other.pk).open(sealed, "place")


def test_the_key_of_an_org_is_stored_wrapped(people, settings):
    from rowmill.orgs import org_sealer

    settings.ROWMILL_ENCRYPTION_KEY = base64.b64encode(new_key()).decode()
    org_sealer.cache_clear()
    with pytest.raises(ConfigError, match="ROWMILL_ENCRYPTION_KEY"):
        org_sealer(people.acme.pk)
