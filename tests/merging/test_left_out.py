"""What somebody said is not imported stays out, also of a file that was sent for nothing yet."""

from __future__ import annotations

import pytest

from rowmill.contacts.mapping import save_mapping
from rowmill.jobs.imports import start_import
from rowmill.jobs.submit import take_file
from rowmill.models import Contact, Upload
from tests.jobs.conftest import work_until_final
from tests.merging.conftest import as_csv
from tests.merging.test_merge import counts

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("remembered", [True, False])
def test_a_column_left_out_stays_out_of_a_file_sent_for_nothing(alice, remembered):
    data = as_csv(("email", "Secret"), [("a@b.co", "canary")])
    upload = take_file(alice, "contact_import", "c.csv", [data], intent={"review": True}).upload
    Upload.objects.filter(pk=upload.pk).update(intent=None)
    upload.refresh_from_db()
    save_mapping(alice, upload, {"email": 1}, [2], remember=remembered)
    if remembered:  # the next file of this header, as it arrives
        Upload.objects.filter(pk=upload.pk).update(intent=None)
        upload.refresh_from_db()
    job = start_import(alice, upload, go_ahead=True)
    assert work_until_final(job) == "COMPLETED"
    assert Contact.objects.get().extra == {}


def test_signs_without_width_at_the_ends_make_no_other_contact(import_rows):
    import_rows(("contact_id", "email", "first_name"), [("A1", "a@b.co", "Ann")])
    job = import_rows(
        ("contact_id", "email", "first_name"), [("\u200bA1\u2060", "", "Anna"), ("", "a@b.co\u200b", "Anna")]
    )
    assert (counts(job)["updated"], counts(job)["inserted"], counts(job)["rejected"]) == (
        1,
        0,
        1,
    )  # of which a person is told
    assert list(Contact.objects.values_list("contact_id", "email", "first_name")) == [("A1", "a@b.co", "Anna")]
