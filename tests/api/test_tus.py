"""The tus door, as the protocol has it: every header, every status, and what is durable after each."""

from __future__ import annotations

import base64
import hashlib
from datetime import timedelta
from pathlib import Path

import pytest
from django.test import Client
from django.utils import timezone
from rest_framework.test import APIClient

from rowmill.models import AuditEvent, Upload, UploadSession
from rowmill.uploads.places import folder_key, get_storage
from rowmill.uploads.sessions import expire_sessions
from tests.conftest import PASSWORD, People

DOOR = "/api/v1/uploads/tus/"
BYTES = "application/offset+octet-stream"
CLAIMS = b"claim_number,first_name,last_name,date_of_birth,subscriber_id\nC1001,Ann,Oak,1980-01-15,S1001\n"


def b64(data: bytes | str) -> str:
    return base64.b64encode(data.encode() if isinstance(data, str) else data).decode()


def metadata(**pairs: str) -> str:
    return ",".join(f"{key} {b64(value)}" for key, value in pairs.items())


def checksum(data: bytes, algorithm: str = "sha1") -> str:
    return f"{algorithm} {b64(hashlib.new(algorithm, data).digest())}"


def call(client: APIClient, method: str, path: str, data: bytes | None = None, **headers: str):
    """Make a request as a tus client does; `Upload_Offset="3"` is a header, None takes one away."""
    sent = {"Tus-Resumable": "1.0.0"} | {name.replace("_", "-"): value for name, value in headers.items()}
    kind = BYTES if data is not None else ""
    kind = sent.pop("Content-Type", kind)
    return client.generic(method, path, data or b"", kind, headers={k: v for k, v in sent.items() if v is not None})


def create(client: APIClient, length: int | None = len(CLAIMS), **headers: str) -> str:
    told = {"Upload-Length": str(length)} if length is not None else {"Upload-Defer-Length": "1"}
    answer = call(client, "POST", DOOR, **{"Upload-Metadata": metadata(filename="claims.csv"), **told, **headers})
    assert answer.status_code == 201, answer.content
    return answer["Location"]


def patch(client: APIClient, url: str, offset: int, data: bytes, **headers: str):
    return call(client, "PATCH", url, data, **{"Upload-Offset": str(offset), **headers})


def offset_of(client: APIClient, url: str) -> int:
    answer = call(client, "HEAD", url)
    assert answer.status_code == 200
    return int(answer["Upload-Offset"])


def stored(upload: Upload) -> dict[str, bytes]:
    found = {}
    for key in get_storage().keys(folder_key(upload)):
        with get_storage().open(key) as file:
            found[key.rsplit("/", 1)[1]] = file.read()
    return found


# ------------------------------------------------------------------------------------------------ the way it goes


def test_a_file_in_three_pieces_is_whole(bob: APIClient) -> None:
    url = create(bob)
    for start, end in ((0, 10), (10, 11), (11, len(CLAIMS))):
        answer = patch(bob, url, start, CLAIMS[start:end])
        assert (answer.status_code, answer["Upload-Offset"], answer.content) == (204, str(end), b"")
        assert offset_of(bob, url) == end
    upload = Upload.objects.get()
    assert answer["Content-Location"] == f"/api/v1/uploads/{upload.public_id}/"
    assert (upload.state, upload.size_bytes, upload.name) == ("CHECKING", len(CLAIMS), "claims.csv")
    assert upload.sha256 in ("", hashlib.sha256(CLAIMS).hexdigest())
    assert stored(upload) == {"original": CLAIMS}
    assert bob.get(answer["Content-Location"]).status_code == 200
    assert UploadSession.objects.get().state == "closed"


def test_head_says_all(bob: APIClient) -> None:
    url = create(bob)
    patch(bob, url, 0, CLAIMS[:7])
    answer = call(bob, "HEAD", url)
    assert (answer.status_code, answer["Upload-Offset"], answer["Upload-Length"]) == (200, "7", str(len(CLAIMS)))
    assert (answer["Tus-Resumable"], answer["Cache-Control"]) == ("1.0.0", "no-store")
    assert answer["Upload-Metadata"] == metadata(filename="claims.csv")
    assert answer["Upload-Expires"].endswith("GMT")
    assert "Upload-Defer-Length" not in answer


def test_options_say_what_is_spoken(bob: APIClient, settings) -> None:
    answer = bob.options(DOOR)
    assert answer.status_code == 204
    assert (answer["Tus-Version"], answer["Tus-Max-Size"]) == ("1.0.0", str(settings.ROWMILL_MAX_FILE_BYTES))
    assert answer["Tus-Checksum-Algorithm"] == "sha1,sha256,md5"
    offered = set(answer["Tus-Extension"].split(","))
    assert offered == {
        "creation", "creation-with-upload", "creation-defer-length", "checksum", "termination", "expiration",
    }  # fmt: skip
    assert "concatenation" not in offered


def test_creation_with_the_first_bytes_and_with_all(bob: APIClient) -> None:
    some = call(bob, "POST", DOOR, CLAIMS[:9], **{"Upload-Length": str(len(CLAIMS))})
    assert (some.status_code, some["Upload-Offset"]) == (201, "9")
    assert patch(bob, some["Location"], 9, CLAIMS[9:]).status_code == 204
    whole = call(bob, "POST", DOOR, CLAIMS, **{"Upload-Length": str(len(CLAIMS))})
    assert (whole.status_code, whole["Upload-Offset"]) == (201, str(len(CLAIMS)))
    assert [stored(upload) for upload in Upload.objects.all()] == [{"original": CLAIMS}] * 2


def test_a_deferred_length_is_told_once(bob: APIClient) -> None:
    url = create(bob, None)
    answer = call(bob, "HEAD", url)
    assert (answer["Upload-Defer-Length"], answer.get("Upload-Length")) == ("1", None)
    assert patch(bob, url, 0, CLAIMS[:5]).status_code == 204
    refused = patch(bob, url, 5, CLAIMS[5:9], Upload_Length="4")
    assert (refused.status_code, refused.json()["code"]) == (400, "bad_header")
    assert patch(bob, url, 5, CLAIMS[5:9], Upload_Length=str(len(CLAIMS))).status_code == 204
    assert call(bob, "HEAD", url)["Upload-Length"] == str(len(CLAIMS))
    assert patch(bob, url, 9, CLAIMS[9:], Upload_Length=str(len(CLAIMS) + 1)).status_code == 400
    assert patch(bob, url, 9, CLAIMS[9:]).status_code == 204
    assert stored(Upload.objects.get()) == {"original": CLAIMS}


def test_an_empty_request_may_tell_the_length_at_the_end(bob: APIClient) -> None:
    url = create(bob, None)
    assert patch(bob, url, 0, CLAIMS).status_code == 204
    assert UploadSession.objects.get().state == "open"
    assert patch(bob, url, len(CLAIMS), b"", Upload_Length=str(len(CLAIMS))).status_code == 204
    assert stored(Upload.objects.get()) == {"original": CLAIMS}


def test_a_post_may_stand_for_another_method(bob: APIClient) -> None:
    url = create(bob)
    override = {"X-HTTP-Method-Override": "PATCH"}
    assert call(bob, "POST", url, CLAIMS[:4], Upload_Offset="0", **override).status_code == 204
    assert call(bob, "POST", url, **{"X-HTTP-Method-Override": "HEAD"})["Upload-Offset"] == "4"
    assert call(bob, "POST", url, **{"X-HTTP-Method-Override": "DELETE"}).status_code == 204
    assert call(bob, "POST", url).status_code == 405


def test_options_of_the_kind_come_as_metadata(bob: APIClient) -> None:
    told = metadata(name="march.csv", kind="claim_status", start_date="2026-03-01", sheet="March", filetype="text/csv")
    create(bob, **{"Upload-Metadata": told})
    upload = Upload.objects.get()
    assert (upload.name, upload.kind) == ("march.csv", "claim_status")
    assert (upload.intent["start_date"], upload.intent["sheet"]) == ("2026-03-01", "March")


def test_a_finished_upload_still_tells_its_end(bob: APIClient) -> None:
    """A client whose last answer was lost asks how far it came, and must hear that it is through."""
    url = create(bob)
    patch(bob, url, 0, CLAIMS)
    answer = call(bob, "HEAD", url)
    assert (answer.status_code, answer["Upload-Offset"], answer["Upload-Length"]) == (200, *[str(len(CLAIMS))] * 2)
    assert "Upload-Expires" not in answer
    again = patch(bob, url, len(CLAIMS), b"")
    assert (again.status_code, again.json()["code"]) == (409, "wrong_state")


# ------------------------------------------------------------------------------------------------ what is refused


@pytest.mark.parametrize("version", [None, "0.2.2", "2.0.0", ""])
@pytest.mark.parametrize("method", ["POST", "HEAD", "PATCH", "DELETE"])
def test_another_version_is_412_and_does_nothing(bob: APIClient, method: str, version: str | None) -> None:
    url = create(bob)
    headers = {"Tus-Resumable": version, "Upload-Offset": "0", "Upload-Length": "5"}
    answer = call(bob, method, DOOR if method == "POST" else url, CLAIMS[:5], **headers)
    assert (answer.status_code, answer["Tus-Version"]) == (412, "1.0.0")
    assert (Upload.objects.count(), offset_of(bob, url)) == (1, 0)


@pytest.mark.parametrize("offset", [0, 9, 11, 5000])
def test_a_wrong_offset_is_409_and_writes_nothing(bob: APIClient, offset: int) -> None:
    url = create(bob)
    patch(bob, url, 0, CLAIMS[:10])
    answer = patch(bob, url, offset, b"wrong")
    assert (answer.status_code, answer.json()["code"]) == (409, "wrong_offset")
    assert offset_of(bob, url) == 10
    assert stored(Upload.objects.get())["incoming"] == CLAIMS[:10]


@pytest.mark.parametrize("algorithm", ["sha1", "sha256", "md5"])
def test_a_wrong_checksum_is_460_and_keeps_nothing(bob: APIClient, algorithm: str) -> None:
    url = create(bob)
    patch(bob, url, 0, CLAIMS[:10], Upload_Checksum=checksum(CLAIMS[:10], algorithm))
    answer = patch(bob, url, 10, CLAIMS[10:20], Upload_Checksum=checksum(b"other", algorithm))
    assert (answer.status_code, answer.reason_phrase) == (460, "Checksum Mismatch")
    assert answer.json()["code"] == "checksum_mismatch"
    assert offset_of(bob, url) == 10
    assert patch(bob, url, 10, CLAIMS[10:], Upload_Checksum=checksum(CLAIMS[10:], algorithm)).status_code == 204
    assert stored(Upload.objects.get()) == {"original": CLAIMS}


def test_a_wrong_checksum_at_the_creation_leaves_nothing(bob: APIClient) -> None:
    headers = {"Upload-Length": str(len(CLAIMS)), "Upload-Checksum": checksum(b"other")}
    assert call(bob, "POST", DOOR, CLAIMS, **headers).status_code == 460
    upload = Upload.objects.get()
    assert (upload.state, stored(upload)) == ("ABORTED", {})


@pytest.mark.parametrize(
    "headers",
    [
        {"Upload-Offset": None},
        {"Upload-Offset": "-1"},
        {"Upload-Offset": "1e3"},
        {"Upload-Offset": "９"},
        {"Upload-Offset": "9" * 400},
        {"Upload-Checksum": "crc32 AAAA"},
        {"Upload-Checksum": "sha1"},
        {"Upload-Checksum": "sha1 !!!"},
        {"Upload-Checksum": "sha1 AAAA"},
        {"Upload-Length": "x"},
        {"Upload-Length": "3"},
    ],
)
def test_unreadable_headers_of_a_patch_are_400(bob: APIClient, headers: dict[str, str]) -> None:
    url = create(bob)
    answer = call(bob, "PATCH", url, CLAIMS[:5], **{"Upload-Offset": "0", **headers})
    assert (answer.status_code, answer.json()["code"]) == (400, "bad_header")
    assert answer["Content-Type"] == "application/problem+json"
    assert offset_of(bob, url) == 0


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({"Upload-Length": None}, "bad_header"),
        ({"Upload-Length": "-5"}, "bad_header"),
        ({"Upload-Length": "5", "Upload-Defer-Length": "1"}, "bad_header"),
        ({"Upload-Length": None, "Upload-Defer-Length": "2"}, "bad_header"),
        ({"Upload-Length": "0"}, "empty_file"),
        ({"Upload-Concat": "partial"}, "bad_header"),
        ({"Upload-Metadata": "filename not-base64!"}, "bad_metadata"),
        ({"Upload-Metadata": "filename " + base64.b64encode(b"\xff\xfe").decode()}, "bad_metadata"),
        ({"Upload-Metadata": "a YQ==,a YQ=="}, "bad_metadata"),
        ({"Upload-Metadata": ",,"}, "bad_metadata"),
        ({"Upload-Metadata": metadata(filename="x" * 20_000)}, "bad_metadata"),
        ({"Upload-Metadata": metadata(sha256="abc")}, "bad_metadata"),
        ({"Upload-Metadata": metadata(kind="claim_status", start_date="soon")}, "bad_option"),
        ({"Upload-Metadata": metadata(kind="claim_status", practice="123456789")}, "bad_option"),
    ],
)
def test_a_senseless_creation_is_400(bob: APIClient, headers: dict[str, str], code: str) -> None:
    answer = call(bob, "POST", DOOR, **{"Upload-Length": "5", **headers})
    assert (answer.status_code, answer.json()["code"]) == (400, code)
    assert not Upload.objects.exists()


def test_an_unknown_kind_is_404(bob: APIClient) -> None:
    answer = call(bob, "POST", DOOR, **{"Upload-Length": "5", "Upload-Metadata": metadata(kind="nonsense")})
    assert answer.status_code == 404


def test_too_large_is_413(bob: APIClient, settings) -> None:
    settings.ROWMILL_MAX_FILE_BYTES = 100
    answer = call(bob, "POST", DOOR, **{"Upload-Length": "101"})
    assert (answer.status_code, answer.json()["code"]) == (413, "too_large")
    url = create(bob, 10)
    assert patch(bob, url, 0, b"x" * 11).status_code == 413
    assert patch(bob, url, 5, b"x" * 5).status_code == 409, "where it ends comes first"
    assert offset_of(bob, url) == 0
    deferred = create(bob, None)
    assert patch(bob, deferred, 0, b"x" * 101).status_code == 413
    assert patch(bob, deferred, 0, b"x", Upload_Length="101").status_code == 413
    assert patch(bob, deferred, 0, b"x" * 100).status_code == 204
    assert patch(bob, deferred, 100, b"x").status_code == 413


@pytest.mark.parametrize(
    "kind", ["application/octet-stream", "multipart/form-data; boundary=x", "application/json", ""]
)
def test_another_content_type_is_415(bob: APIClient, kind: str) -> None:
    url = create(bob)
    answer = call(bob, "PATCH", url, CLAIMS[:5], **{"Upload-Offset": "0", "Content-Type": kind})
    assert (answer.status_code, answer.json()["code"]) == (415, "unsupported_type")
    if kind:
        answer = call(bob, "POST", DOOR, CLAIMS[:5], **{"Upload-Length": "5", "Content-Type": kind})
        assert answer.status_code == 415
    assert (Upload.objects.count(), offset_of(bob, url)) == (1, 0)


def test_expired_is_410(bob: APIClient) -> None:
    url = create(bob)
    patch(bob, url, 0, CLAIMS[:10])
    UploadSession.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    for _ in range(2):  # before the sweeper came by, and after
        for answer in (patch(bob, url, 10, CLAIMS[10:]), call(bob, "HEAD", url)):
            assert answer.status_code == 410
        assert patch(bob, url, 10, CLAIMS[10:]).json()["code"] == "expired"
        expire_sessions()
    upload = Upload.objects.get()
    assert (upload.state, stored(upload)) == ("ABORTED", {})


def test_terminated_is_over(bob: APIClient) -> None:
    url = create(bob)
    patch(bob, url, 0, CLAIMS[:10])
    assert call(bob, "DELETE", url).status_code == 204
    upload = Upload.objects.get()
    assert (upload.state, stored(upload)) == ("ABORTED", {})
    assert call(bob, "HEAD", url).status_code in (404, 409, 410)
    assert patch(bob, url, 10, CLAIMS[10:]).status_code in (404, 409, 410)
    assert AuditEvent.objects.filter(verb="upload.cancel").count() == 1


def test_a_finished_upload_is_not_terminated(bob: APIClient) -> None:
    url = create(bob)
    patch(bob, url, 0, CLAIMS)
    assert call(bob, "DELETE", url).status_code == 409
    assert stored(Upload.objects.get()) == {"original": CLAIMS}


def test_a_full_disk_is_507(bob: APIClient, settings) -> None:
    url = create(bob)
    settings.ROWMILL_MIN_FREE_BYTES = 1 << 60
    assert patch(bob, url, 0, CLAIMS).status_code == 507
    assert call(bob, "POST", DOOR, **{"Upload-Length": "5"}).status_code == 507
    settings.ROWMILL_MIN_FREE_BYTES = 0
    assert patch(bob, url, 0, CLAIMS).status_code == 204


def test_quotas_hold(bob: APIClient, settings) -> None:
    settings.ROWMILL_ORG_SESSIONS = 1
    url = create(bob, None)
    answer = call(bob, "POST", DOOR, **{"Upload-Length": "5"})
    assert (answer.status_code, answer.json()["code"]) == (403, "quota_exceeded")
    settings.ROWMILL_ORG_BYTES = 30
    assert patch(bob, url, 0, CLAIMS[:10]).status_code == 204
    assert patch(bob, url, 10, b"", Upload_Length="31").json()["code"] == "quota_exceeded"
    over = patch(bob, url, 10, CLAIMS[10:31])  # what has come counts while the size is not told
    assert (over.status_code, over.json()["code"], over.json()["limit_bytes"]) == (413, "too_large", 30)
    settings.ROWMILL_ORG_SESSIONS = 0
    assert call(bob, "POST", DOOR, **{"Upload-Length": "21"}).json()["code"] == "quota_exceeded"
    assert patch(bob, url, 10, CLAIMS[10:30], Upload_Length="30").status_code == 204


def test_what_the_client_says_of_a_file_is_given_back_in_its_words(bob: APIClient) -> None:
    told = f"{metadata(filename='claims.csv', colour='blue')},flag,kind {b64('claim_status')}"
    assert call(bob, "HEAD", create(bob, **{"Upload-Metadata": told}))["Upload-Metadata"] == told
    assert "Upload-Metadata" not in call(bob, "HEAD", create(bob, **{"Upload-Metadata": None}))


# ------------------------------------------------------------------------------------------------ who may


def test_the_wall_between_orgs(bob: APIClient, charlie: APIClient, ada: APIClient) -> None:
    url = create(bob)
    patch(bob, url, 0, CLAIMS[:10])
    for method in ("HEAD", "PATCH", "DELETE"):
        assert call(charlie, method, url, CLAIMS[10:], Upload_Offset="10").status_code == 404
        nobody = call(APIClient(), method, url, CLAIMS[10:], Upload_Offset="10")
        assert nobody.status_code == 401
    assert call(APIClient(), "POST", DOOR, **{"Upload-Length": "5"}).status_code == 401
    for method, path in (("POST", DOOR), ("PATCH", url), ("DELETE", url)):
        assert call(ada, method, path, CLAIMS[10:], Upload_Offset="10", Upload_Length="5").status_code == 403
    assert offset_of(ada, url) == 10, "an auditor may look"
    assert offset_of(bob, url) == 10


def test_an_upload_of_another_door_is_not_here(bob: APIClient) -> None:
    url = create(bob)
    UploadSession.objects.update(door="chunks")
    assert call(bob, "HEAD", url).status_code == 404


@pytest.mark.parametrize("kind", [BYTES, "multipart/form-data; boundary=x", "application/x-www-form-urlencoded"])
def test_a_cookie_needs_its_csrf_token(people: People, kind: str) -> None:
    client = Client(enforce_csrf_checks=True)
    assert client.login(email="bob@acme.test", password=PASSWORD)
    headers = {"Tus-Resumable": "1.0.0", "Upload-Length": "5"}
    assert client.generic("POST", DOOR, b"12345", kind, headers=headers).status_code == 403
    token = client.get("/bulk-upload").cookies["csrftoken"].value
    answer = client.generic("POST", DOOR, b"12345", kind, headers={**headers, "X-CSRFToken": token})
    assert answer.status_code == (201 if kind == BYTES else 415)


def test_nothing_is_left_in_scratch(bob: APIClient, settings) -> None:
    patch(bob, create(bob), 0, CLAIMS)
    scratch = Path(settings.SCRATCH_DIR)
    assert not scratch.exists() or not list(scratch.iterdir())
