"""The setting is read once at the start: what is half-set or unsafe is refused in words, without a secret."""

from __future__ import annotations

import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from rowmill.errors import ConfigError
from rowmill.storage import LocalStorage, check_storage, is_in_bucket, open_assembly, open_storage
from rowmill.storage.url import Place, find_origins, read_place
from tests.servers.ports import free_port
from tests.servers.proxy import Proxy
from tests.servers.s3 import S3


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("", Place()),
        ("file:///srv/row%20mill", Place(folder=Path("/srv/row mill"))),
        ("s3://bucket", Place(bucket="bucket")),
        (
            "s3://bucket/a/b/?endpoint=https://s3.clinic.example:9000/&region=eu-1&path_style=yes",
            Place(None, "bucket", "a/b", "https://s3.clinic.example:9000", "eu-1", True),
        ),
        ("s3://b/?endpoint=http://127.0.0.1:9000", Place(bucket="b", endpoint="http://127.0.0.1:9000")),
        ("s3://b/?endpoint=http://10.0.0.1&plain_http=yes", Place(bucket="b", endpoint="http://10.0.0.1")),
    ],
)
def test_what_it_takes(url: str, place: Place):
    assert read_place(url) == place


@pytest.mark.parametrize(
    "url",
    [
        "s3://bucket/p?region=eu-central-1",
        "s3://bucket/p?region=us-east-1",
        "s3://with.dots/p?region=eu-west-1",
        "s3://bucket/p?endpoint=https://s3.clinic.example:9000",
        "s3://bucket/p?endpoint=https://s3.clinic.example&path_style=yes",
        "s3://with.dots/p?endpoint=https://s3.clinic.example&region=x",
        "s3://bucket/p?endpoint=http://127.0.0.1:9000&path_style=yes",
        "s3://bucket/p?endpoint=http://127.0.0.1:9000",
    ],
)
def test_pages_may_send_to_where_addresses_are_signed_for(configured, monkeypatch: pytest.MonkeyPatch, url: str):
    for name, value in S3("moto").environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("AWS_REGION", raising=False)
    assembly = open_assembly(open_storage(configured(url)))
    assert is_in_bucket(assembly)
    signed = urlsplit(assembly.presign_part("org/1/x", "token", 1, 5))
    assert f"{signed.scheme}://{signed.netloc}" in find_origins(read_place(url))


def test_a_folder_has_no_origin():
    assert find_origins(Place()) == []


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("/srv/files", "file:///"),
        ("file://srv/files", "three slashes"),
        ("file:///", "three slashes"),
        ("ftp://x/y", "s3://"),
        ("s3:///prefix", "bucket is missing"),
        ("s3://KEY:hunter2@bucket/", "AWS_SECRET_ACCESS_KEY"),
        ("s3://bucket/?secret=hunter2", "nothing else"),
        ("s3://bucket/?endpoint=https://KEY:hunter2@host", "without user"),
        ("s3://bucket/?endpoint=host:9000", "https://host:port"),
        ("s3://bucket/?endpoint=http://10.0.0.1", "in the clear"),
        ("s3://bucket/?path_style=hunter2", "yes or no"),
        ("s3://[hunter2/", "s3://"),
    ],
)
def test_what_it_does_not_take(url: str, says: str, configured):
    with pytest.raises(ConfigError) as refused:
        open_storage(configured(url))
    assert says in str(refused.value)
    assert str(refused.value).startswith("ROWMILL_STORAGE_URL")
    assert "hunter2" not in str(refused.value)


def test_nothing_set_is_the_data_folder_and_a_folder_may_be_named(configured, tmp_path: Path):
    settings = configured()
    storage = open_storage(settings)
    assert isinstance(storage, LocalStorage)
    assert storage.root == settings.STORAGE_DIR
    assert open_storage(settings) is storage
    assert open_storage(configured(f"file://{tmp_path}/else")).root == tmp_path / "else"  # type: ignore[attr-defined]


def test_a_missing_library_is_told_with_its_cure(configured, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "boto3", None)
    monkeypatch.delitem(sys.modules, "rowmill.storage.s3", raising=False)
    with pytest.raises(ConfigError, match=r"pip install 'rowmill\[cluster\]'"):
        open_storage(configured("s3://not-there/?endpoint=http://127.0.0.1:9"))


def test_the_check_says_ok_and_leaves_nothing(configured):
    settings = configured()
    assert check_storage(settings) == "ok"
    assert list(open_storage(settings).keys()) == []


def test_the_check_says_what_is_wrong_with_a_folder(configured, tmp_path: Path):
    (tmp_path / "file").touch()
    assert check_storage(configured(f"file://{tmp_path}/file/below")) == (
        "The storage's folder cannot be used (Not a directory)."
    )


@pytest.fixture
def credentials(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name, value in S3().environment.items():
        monkeypatch.setenv(name, value)
    return monkeypatch


def test_half_of_the_credentials_is_told(configured, credentials: pytest.MonkeyPatch):
    credentials.delenv("AWS_SECRET_ACCESS_KEY")
    told = check_storage(configured(f"s3://half/?endpoint=http://127.0.0.1:{free_port()}&path_style=yes"))
    assert told.startswith("AWS_ACCESS_KEY_ID is set alone.")


def test_no_region_is_told(configured, credentials: pytest.MonkeyPatch):
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        credentials.delenv(name, raising=False)
    assert "region=" in check_storage(configured("s3://no-region/"))


def test_a_server_that_is_not_there_is_told(configured, credentials: pytest.MonkeyPatch):
    url = f"s3://nobody/?endpoint=http://127.0.0.1:{free_port()}&path_style=yes"
    assert check_storage(configured(url)) == "The storage cannot be reached."


@pytest.mark.slow
def test_the_check_says_what_is_wrong_with_a_bucket(configured, s3_servers, monkeypatch: pytest.MonkeyPatch):
    server = s3_servers("rclone")
    with server.credentials():
        url = server.url("checked", "p")
        assert check_storage(configured(url)) == "ok"
        assert list(open_storage(configured(url)).keys()) == []
        assert "no such bucket" in check_storage(configured(url.replace("checked", "missing")))
        with Proxy(server.port) as line:
            line.black_hole = True
            assert check_storage(configured(server.url("checked", port=line.port))) == (
                "The storage does not answer in time."
            )
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "rowmill-test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hunter2-hunter2")
    told = check_storage(configured(url, machine="with the wrong key"))
    assert told.startswith("The storage ")
    assert "ok" not in told.split()
    assert "hunter2" not in told
