"""The claims door by API: a sound file is a job, a wrong one says what is wrong and where."""

from __future__ import annotations

import uuid
from pathlib import Path

import pytest
from django.conf import settings as django_settings
from django.core.files.uploadedfile import SimpleUploadedFile
from rest_framework.test import APIClient

from rowmill.models import AuditEvent, Job, PayerAccount, Practice, Upload
from rowmill.storage import LocalStorage
from tests.conftest import PASSWORD, People

DOOR = "/api/v1/claims/bulk/upload/"
HEADER = b"claim_number,first_name,last_name,date_of_birth,subscriber_id\n"
SOUND = HEADER + b"C1001,Ann,Oak,1980-01-15,S1001\nC1002,Bo,Elm,05/10/1975,S1002\n"
OPEN_QUOTE = HEADER + b'C1001,Ann,Oak,1980-01-15,S1001\nC1002,"Bo,Elm,05/10/1975,S1002\n'


def send(client: APIClient, data: bytes = SOUND, *, name: str = "claims.csv", key: str | None = None, **options: str):
    headers = {"Idempotency-Key": key} if key is not None else {}
    return client.post(DOOR, {"file": SimpleUploadedFile(name, data), **options}, format="multipart", headers=headers)


def left_behind() -> list[Path]:
    scratch = Path(django_settings.SCRATCH_DIR)
    return list(scratch.iterdir()) if scratch.exists() else []


def test_sound_file_is_a_job(people: People, bob: APIClient) -> None:
    response = send(bob)
    body = response.json()
    assert response.status_code == 201, body
    assert uuid.UUID(body["id"])
    assert uuid.UUID(body["celery_task_id"])
    assert response["Location"] == f"/api/v1/claims/csv-jobs/{body['id']}/"
    assert (body["status"], body["total_rows"], body["created_by"]) == ("PENDING", 2, "bob@acme.test")
    assert (body["file_name"], body["file_size"]) == ("claims.csv", len(SOUND))
    assert body["balance"]["lines"] == 3
    assert body["balance"]["balances"] is True
    assert bob.get(response["Location"]).json()["id"] == body["id"]
    assert left_behind() == []


def test_options_are_kept(people: People, bob: APIClient) -> None:
    practice = Practice.objects.create(org=people.acme, name="North", tin="990000001")
    body = send(
        bob,
        start_date="2026-01-01",
        end_date="03/31/2026",
        transaction_code="CLAIM_STATUS",
        payer="UHC",
        practice="990000001",
    ).json()
    assert (body["start_date"], body["end_date"]) == ("2026-01-01", "2026-03-31")
    assert (body["payer"], body["practice"]) == ("UHC", str(practice.public_id))


@pytest.mark.parametrize(
    "option",
    [
        {"start_date": "soon"},
        {"start_date": "2026-02-01", "end_date": "2026-01-01"},
        {"payer": "NOBODY"},
        {"practice": "123456789"},
        {"transaction_code": "PAYMENT"},
        {"template": "x" * 201},
    ],
)
def test_senseless_options_are_400(bob: APIClient, option: dict[str, str]) -> None:
    response = send(bob, **option)
    assert response.status_code == 400
    assert response.json()["code"] in ("bad_option", "bad_input")
    assert not Job.objects.exists()
    assert left_behind() == []


def test_practice_of_another_org_is_unknown(people: People, bob: APIClient) -> None:
    theirs = Practice.objects.create(org=people.other, name="South", tin="990000002")
    answers = [
        send(bob, practice=word).json()["detail"] for word in (str(theirs.public_id), theirs.tin, str(uuid.uuid4()))
    ]
    assert len(set(answers)) == 1


def test_wrong_file_says_what_and_where(people: People, bob: APIClient) -> None:
    response = send(bob, OPEN_QUOTE)
    body = response.json()
    assert (response.status_code, body["code"]) == (400, "unsound_file")
    assert response["Content-Type"] == "application/problem+json"
    finding = next(f for f in body["findings"] if f["severity"] == "error")
    assert finding["line"] == 3
    assert finding["message"]
    assert finding["mend"]
    assert body["balance"]["lines"] == 3
    shown = bob.get(f"/api/v1/uploads/{body['upload_id']}/").json()
    assert (shown["status"], shown["findings"]) == ("REJECTED", len(body["findings"]))
    assert not Job.objects.exists()
    assert left_behind() == []


def test_missing_column_is_named(bob: APIClient) -> None:
    body = send(bob, b"claim_number,first_name\nC1,Ann\n").json()
    assert body["code"] == "unsound_file"
    assert any("last_name" in f["message"] + str(f["column_name"]) for f in body["findings"])


def test_file_that_is_no_table(bob: APIClient) -> None:
    for data in (b"%PDF-1.7 ...", b"\x89PNG\r\n\x1a\n" + b"\0" * 50, b"\0" * 100):
        response = send(bob, data)
        assert response.status_code == 400, data[:8]
        assert response.json()["findings"]


def test_empty_and_missing_files(bob: APIClient) -> None:
    assert send(bob, b"").status_code == 400
    assert bob.post(DOOR, {"start_date": ""}, format="multipart").json()["code"] == "missing_file"
    assert bob.post(DOOR, {"file": "just words"}, format="multipart").json()["code"] == "missing_file"
    other = bob.post(DOOR, {"table": SimpleUploadedFile("a.csv", SOUND)}, format="multipart")
    assert (other.status_code, other.json()["code"]) == (400, "missing_file")
    assert bob.post(DOOR).status_code in (400, 415)
    two = {"file": [SimpleUploadedFile("a.csv", SOUND), SimpleUploadedFile("b.csv", SOUND)]}
    assert bob.post(DOOR, two, format="multipart").json()["code"] == "one_file_only"
    assert left_behind() == []


def test_same_bytes_again_need_a_word(people: People, alice: APIClient, bob: APIClient, charlie: APIClient) -> None:
    first = send(alice).json()
    again = send(bob, name="renamed.csv")
    assert (again.status_code, again.json()["code"]) == (409, "duplicate_file")
    assert again.json()["job"] == first["id"]
    assert send(bob, confirm_duplicate="true").status_code == 201
    assert send(charlie).status_code == 201, "another org's files are none of theirs"
    assert Upload.objects.filter(state="ABORTED").count() == 1


def test_idempotency_key(people: People, alice: APIClient, bob: APIClient) -> None:
    first, again = send(alice, key="k-1"), send(alice, key="k-1")
    assert (first.status_code, again.status_code) == (201, 201)
    assert again.json()["id"] == first.json()["id"]
    assert again["Idempotent-Replayed"] == "true"
    assert "Idempotent-Replayed" not in first
    other_body = send(alice, SOUND + b"C1003,Cy,Fir,1990-02-02,S1003\n", key="k-1")
    assert (other_body.status_code, other_body.json()["code"]) == (422, "idempotency_key_reused")
    other_option = send(alice, key="k-1", start_date="2026-01-01")
    assert other_option.status_code == 422
    assert send(bob, key="k-1").status_code == 409, "keys are each person's own; the file is a duplicate"
    assert Job.objects.count() == 1


@pytest.mark.parametrize("key", ["", "with space", "x" * 256, "tab\tin"])
def test_senseless_idempotency_keys(bob: APIClient, key: str) -> None:
    assert send(bob, key=key).json()["code"] == "bad_idempotency_key"


def test_key_is_free_again_after_a_refusal(bob: APIClient) -> None:
    assert send(bob, OPEN_QUOTE, key="k-2").status_code == 400
    assert send(bob, key="k-2").status_code == 201


def test_file_over_the_limit(bob: APIClient, settings) -> None:
    settings.ROWMILL_MAX_UPLOAD_BYTES = len(SOUND)
    assert send(bob).status_code == 201
    for extra in (1, 200_000):
        response = send(bob, SOUND + b"x" * extra)
        assert (response.status_code, response.json()["code"]) == (413, "too_large")
        assert response.json()["limit_bytes"] == len(SOUND)
    assert Upload.objects.count() == 1
    assert left_behind() == []


def test_each_kind_may_have_a_limit_of_its_own(bob: APIClient, settings) -> None:
    settings.ROWMILL_MAX_UPLOAD_BYTES = len(SOUND) - 1
    settings.ROWMILL_KIND_UPLOAD_BYTES = {"claim_status": len(SOUND), "another": len(SOUND) + 100}
    over = send(bob, SOUND + b"x")  # not over what is taken of any kind: it is received, and refused for its own
    assert (over.status_code, over.json()["code"]) == (413, "too_large")
    assert f"larger than {len(SOUND):,} bytes" in over.json()["detail"]
    assert send(bob, SOUND + b"x" * 101).status_code == 413
    assert left_behind() == []
    assert send(bob).status_code == 201


def test_body_that_ends_in_the_middle_of_the_file(bob: APIClient) -> None:
    body = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.csv"\r\n\r\n' + SOUND
    response = bob.post(DOOR, body, content_type="multipart/form-data; boundary=b")
    assert (response.status_code, response.json()["code"]) == (400, "cut_off")
    assert not Upload.objects.exists()
    assert left_behind() == []


def test_full_disk(bob: APIClient, settings) -> None:
    settings.ROWMILL_MIN_FREE_BYTES = 1 << 60
    response = send(bob)
    assert (response.status_code, response.json()["code"]) == (507, "out_of_space")
    assert not Upload.objects.exists()


def test_file_is_written_in_pieces(bob: APIClient, monkeypatch: pytest.MonkeyPatch) -> None:
    pieces: list[int] = []
    write = LocalStorage.write

    def watched(self, key, source):
        def count():
            for piece in source:
                pieces.append(len(piece))
                yield piece

        return write(self, key, count())

    monkeypatch.setattr(LocalStorage, "write", watched)
    rows = b"".join(b"C%06d,Ann,Oak,1980-01-15,S%06d\n" % (n, n) for n in range(30_000))
    assert send(bob, HEADER + rows).status_code == 201
    assert sum(pieces) == len(HEADER + rows)
    assert max(pieces) <= 256 * 1024


def test_name_is_never_a_path(bob: APIClient) -> None:
    assert send(bob, name="../../etc/passwd.csv").json()["file_name"] == "passwd.csv"


def test_auditor_and_stranger_send_nothing(people: People, ada: APIClient) -> None:
    assert send(ada).status_code == 403
    assert send(APIClient()).status_code == 401
    assert not Upload.objects.exists()


def test_browser_session_sends_with_the_csrf_token(people: People) -> None:
    client = APIClient(enforce_csrf_checks=True)
    assert client.login(email="alice@acme.test", password=PASSWORD)
    assert send(client).status_code == 403
    client.get("/accounts/logout/")
    token = client.cookies["csrftoken"].value
    response = client.post(
        DOOR, {"file": SimpleUploadedFile("a.csv", SOUND)}, format="multipart", HTTP_X_CSRFTOKEN=token
    )
    assert response.status_code == 201, response.content


def test_trail_tells_who_sent_what(people: People, bob: APIClient) -> None:
    send(bob)
    assert {"upload.begin", "upload.ready", "job.submit"} <= set(AuditEvent.objects.values_list("verb", flat=True))


def test_an_account_that_is_edited_between_does_not_make_it_another_request(people: People, bob: APIClient) -> None:
    first = send(bob, key="k-1").json()
    PayerAccount.objects.create(
        org=people.acme, payer="UHC", base_url="https://a.test", token_url="https://a.test/token", in_flight=40,
        client_id_sealed=b"", client_secret_sealed=b"",
    )  # fmt: skip
    again = send(bob, key="k-1")
    assert (again.status_code, again.json()["id"]) == (201, first["id"])
