"""Fixtures: a data directory of the run's own; Alice (admin of acme), Bob (member), Ada (auditor), Charlie (of another org)."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings

from tests.early import DATA, ON_POSTGRES

# The same examples on every machine, however slow it is: what a test finds is then never an accident of the run.
hypothesis_settings.register_profile(
    "rowmill", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
hypothesis_settings.load_profile("rowmill")


def pytest_configure(config: pytest.Config) -> None:
    from django.conf import settings

    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]  # quick; nothing here is secret


@pytest.fixture(scope="session")
def django_db_modify_db_settings(django_db_modify_db_settings_parallel_suffix: None) -> None:
    from django.conf import settings

    if ON_POSTGRES:
        return
    settings.DATABASES["default"].setdefault("TEST", {})["NAME"] = os.path.join(
        DATA.name, f"test-{os.getpid()}.sqlite3"
    )


@dataclass
class People:
    """The orgs and people of the tests; every password is `correct-horse-battery`."""

    acme: object
    other: object
    alice: object
    bob: object
    ada: object
    charlie: object


PASSWORD = "correct-horse-battery"


@pytest.fixture(autouse=True)
def _fresh_caches() -> Iterator[None]:
    from rowmill import orgs

    orgs.org_sealer.cache_clear()
    yield
    orgs.org_sealer.cache_clear()


@pytest.fixture
def people(db: None) -> People:
    from rowmill.orgs import add_member, create_org

    acme, other = create_org("acme"), create_org("other clinic")
    return People(
        acme=acme,
        other=other,
        alice=add_member(acme, "alice@acme.test", "admin", PASSWORD),
        bob=add_member(acme, "bob@acme.test", "member", PASSWORD),
        ada=add_member(acme, "ada@acme.test", "auditor", PASSWORD),
        charlie=add_member(other, "charlie@other.test", "admin", PASSWORD),
    )
