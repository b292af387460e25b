"""Contacts by the chunked door: a file whose sender names no kind is one of contacts, and its options are read."""

from __future__ import annotations

import pytest

from rowmill.claims.intake import default_kind, read_intent
from rowmill.errors import InputError
from rowmill.orgs import find_caller

pytestmark = pytest.mark.django_db


def test_without_a_kind_it_is_contacts(people):
    caller = find_caller(people.alice)
    assert default_kind() == "contact_import"
    assert read_intent(caller, "contact_import", {}) == {"duplicates": "update"}
    assert read_intent(caller, "contact_import", {"duplicates": "blanks"}) == {"duplicates": "blanks"}
    with pytest.raises(InputError, match="duplicates takes update, blanks, skip, newest"):
        read_intent(caller, "contact_import", {"duplicates": "perhaps"})
