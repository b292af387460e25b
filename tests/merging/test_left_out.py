"""What somebody said is not imported stays out, also of a file that was sent for nothing yet."""

from __future__ import annotations

import pytest

from rowmill.contacts.mapping import save_mapping
from rowmill.jobs.imports import start_import
from rowmill.jobs.submit import take_file
from rowmill.models import Contact, Upload
from tests.jobs.conftest import work_until_final
from tests.merging.conftest import as_csv

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
