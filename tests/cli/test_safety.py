"""What several processes refuse to start on, and that each refusal says what to set."""

from __future__ import annotations

import os
import subprocess
import sys
from base64 import b64encode
from pathlib import Path

import pytest

from rowmill.cli.cluster import read_lanes
from rowmill.cli.safety import find_unsafe, need_settings
from rowmill.errors import ConfigError

SOUND = {
    "DATABASE_URL": "postgres://rowmill:hush@db.test/rowmill",
    "ROWMILL_BROKER_URL": "redis://redis.test:6379/0",
    "ROWMILL_STORAGE_URL": "s3://bucket/files",
    "SECRET_KEY": "x" * 40,
    "ROWMILL_ENCRYPTION_KEY": b64encode(b"e" * 32).decode(),
    "ROWMILL_ALLOWED_HOSTS": "rowmill.test",
    "ROWMILL_BASE_URL": "https://rowmill.test",
    "ROWMILL_HTTPS": "yes",
}
LOCAL = {"ROWMILL_STORAGE_URL": "file:///srv/files"}


@pytest.fixture
def surroundings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    monkeypatch.setenv("ROWMILL_DATA_DIR", str(tmp_path))
    for name, text in SOUND.items():
        monkeypatch.setenv(name, text)
    return monkeypatch


@pytest.mark.parametrize("role", ["web", "worker", "beat", "migrate"])
def test_a_sound_configuration_is_taken(role: str, surroundings: pytest.MonkeyPatch) -> None:
    need_settings(role)


@pytest.mark.parametrize(
    ("role", "name", "text", "words"),
    [
        ("worker", "DATABASE_URL", "", "DATABASE_URL must name a Postgres server"),
        ("web", "DATABASE_URL", "sqlite:////srv/x", "DATABASE_URL must name a Postgres server"),
        ("worker", "SECRET_KEY", "", "SECRET_KEY must be set to the same"),
        ("beat", "SECRET_KEY", "short", "SECRET_KEY must be set to the same"),
        ("migrate", "SECRET_KEY", "", "SECRET_KEY must be set to the same"),
        ("worker", "ROWMILL_ENCRYPTION_KEY", "", "ROWMILL_ENCRYPTION_KEY must be set to the same"),
        ("web", "ROWMILL_ENCRYPTION_KEY", "no base64!", "ROWMILL_ENCRYPTION_KEY must be set to the same"),
        ("web", "ROWMILL_ENCRYPTION_KEY", b64encode(b"short").decode(), "base64 of 32 bytes"),
        ("worker", "ROWMILL_STORAGE_URL", "", "ROWMILL_SHARED_STORAGE=yes"),
        ("web", "ROWMILL_STORAGE_URL", "file:///srv/files", "ROWMILL_SHARED_STORAGE=yes"),
        ("worker", "ROWMILL_DEBUG", "yes", "ROWMILL_DEBUG is on"),
        ("web", "ROWMILL_ALLOWED_HOSTS", "*", "ROWMILL_ALLOWED_HOSTS must name"),
        ("web", "ROWMILL_HTTPS", "no", "disagree"),
        ("web", "ROWMILL_BASE_URL", "http://rowmill.test", "disagree"),
        ("beat", "ROWMILL_BROKER_URL", "", "nothing to ring"),
    ],
)
def test_one_thing_amiss_is_one_sentence_that_says_what_to_set(
    role: str, name: str, text: str, words: str, surroundings: pytest.MonkeyPatch
) -> None:
    surroundings.setenv(name, text)
    (said,) = find_unsafe(role)
    assert words in said
    with pytest.raises(ConfigError, match=r".") as refused:
        need_settings(role)
    assert str(refused.value) == said
    assert "hush" not in said


@pytest.mark.parametrize("name", ["ROWMILL_ALLOWED_HOSTS", "ROWMILL_BASE_URL"])
def test_a_web_server_is_not_left_to_the_defaults(name: str, surroundings: pytest.MonkeyPatch) -> None:
    surroundings.delenv(name)
    (said,) = find_unsafe("web")
    assert said.startswith(name)
    assert list(find_unsafe("worker")) == []


def test_a_broker_that_cannot_be_read_is_refused_by_all(surroundings: pytest.MonkeyPatch) -> None:
    surroundings.setenv("ROWMILL_BROKER_URL", "amqp://guest:hush@host")
    for role in ("web", "worker", "beat"):
        with pytest.raises(ConfigError, match="ROWMILL_BROKER_URL cannot be read"):
            need_settings(role)


def test_a_shared_folder_is_taken_when_somebody_says_that_it_is_one(surroundings: pytest.MonkeyPatch) -> None:
    surroundings.setenv("ROWMILL_STORAGE_URL", "file:///srv/files")
    surroundings.setenv("ROWMILL_SHARED_STORAGE", "yes")
    assert list(find_unsafe("worker")) == []


def test_lanes_are_read_in_the_order_given() -> None:
    assert read_lanes(" bulk ,interactive,bulk") == ("bulk", "interactive")
    for text in ("", ",", "bulk,fast"):
        with pytest.raises(ConfigError, match="--lanes takes interactive, bulk"):
            read_lanes(text)


@pytest.mark.parametrize("role", ["web", "worker", "beat"])
def test_a_bare_start_says_all_that_is_missing_and_makes_no_key(role: str, tmp_path: Path) -> None:
    bare = {name: text for name, text in os.environ.items() if not name.startswith("ROWMILL_")}
    done = subprocess.run(
        [sys.executable, "-m", "rowmill", role],
        env={**bare, "ROWMILL_DATA_DIR": str(tmp_path / "data")}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (2, "")
    for name in ("DATABASE_URL", "SECRET_KEY", "ROWMILL_ENCRYPTION_KEY"):
        assert f"  - {name} must" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "data").exists()
