"""Fixtures of the API's tests: a client for each person, signed in with a token."""

from __future__ import annotations

from pathlib import Path

import pytest
from rest_framework.test import APIClient

from tests.conftest import PASSWORD, People


@pytest.fixture(autouse=True)
def _own_folders(settings, tmp_path: Path) -> None:
    settings.STORAGE_DIR, settings.SCRATCH_DIR = tmp_path / "storage", tmp_path / "scratch"


@pytest.fixture(autouse=True)
def _quick_passwords(settings) -> None:
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


def sign_in(email: str, password: str = PASSWORD) -> APIClient:
    """Give a client that carries the person's access token."""
    client = APIClient()
    tokens = client.post("/api/v1/auth/token/", {"email": email, "password": password}, format="json").json()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {tokens['access']}")
    return client


@pytest.fixture
def alice(people: People) -> APIClient:
    return sign_in("alice@acme.test")


@pytest.fixture
def bob(people: People) -> APIClient:
    return sign_in("bob@acme.test")


@pytest.fixture
def ada(people: People) -> APIClient:
    return sign_in("ada@acme.test")


@pytest.fixture
def charlie(people: People) -> APIClient:
    return sign_in("charlie@other.test")
