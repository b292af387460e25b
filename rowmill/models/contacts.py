"""The contacts of an org's CRM: people at companies, as imports and people wrote them."""

from __future__ import annotations

from typing import Any

from django.db import models
from django.db.models.functions import Left, Lower

from rowmill.models.merges import Merged
from rowmill.models.people import User


def _text() -> models.TextField[str, str]:
    """A text of any length, "" where there is none: a limit would fail a whole batch for one long cell."""
    return models.TextField(default="", blank=True)


def _money() -> models.DecimalField[Any, Any]:
    return models.DecimalField(max_digits=20, decimal_places=2, null=True, blank=True)


def _count() -> models.BigIntegerField[Any, Any]:
    return models.BigIntegerField(null=True, blank=True)


def _flag() -> models.BooleanField[Any, Any]:
    return models.BooleanField(null=True, blank=True)


def _words() -> models.JSONField[Any, Any]:
    return models.JSONField(default=list, blank=True)


class Contact(Merged):
    """One person. The fields of a CRM export; what a file had besides stands in `extra` by header.

    `employees_most` and `annual_revenue_most` are the upper ends where a file gave ranges. `phone_numbers` has the phones
    without decoration, by field. `match_key` is "i:" and the contact_id, or "m:" and the e-mail where there is no ID.
    """

    first_name = _text()
    last_name = _text()
    title = _text()
    seniority = _text()
    departments = _words()
    person_linkedin_url = _text()
    email = _text()
    email_status = _text()
    email_confidence = models.DecimalField(max_digits=9, decimal_places=4, null=True, blank=True)
    primary_email_source = _text()
    first_phone = _text()
    work_direct_phone = _text()
    home_phone = _text()
    mobile_phone = _text()
    corporate_phone = _text()
    other_phone = _text()
    company = _text()
    company_name_for_emails = _text()
    industry = _text()
    employees = _count()
    keywords = _words()
    technologies = _words()
    seo_description = _text()
    company_phone = _text()
    company_address = _text()
    company_city = _text()
    company_state = _text()
    company_country = _text()
    website = _text()
    company_linkedin_url = _text()
    facebook_url = _text()
    twitter_url = _text()
    number_of_retail_locations = _count()
    city = _text()
    state = _text()
    country = _text()
    annual_revenue = _money()
    total_funding = _money()
    latest_funding = _text()
    latest_funding_amount = _money()
    last_raised_at = models.DateField(null=True, blank=True)
    stage = _text()
    lists = _words()
    contact_owner = _text()
    account_owner = _text()
    last_contacted = models.DateTimeField(null=True, blank=True)
    email_sent = _flag()
    email_open = _flag()
    email_bounced = _flag()
    replied = _flag()
    demoed = _flag()
    contact_id = _text()
    account_id = _text()
    employees_most = _count()
    annual_revenue_most = _money()
    phone_numbers = models.JSONField(default=dict, blank=True)
    extra = models.JSONField(default=dict, blank=True)

    class Meta:
        constraints = (models.UniqueConstraint(fields=["org", "match_key"], name="contact_once"),)
        indexes = (
            models.Index(fields=["org", "email"], name="contact_email", condition=~models.Q(email="")),
            models.Index(fields=["org", "email"], name="contact_by_mail", condition=models.Q(contact_id="")),
            # Long texts do not fit into an index; their beginning is enough to find and to sort by.
            # What a search looks up is an index of migration 0009, on Postgres only.
            models.Index("org", Left(Lower("last_name"), 60), "id", name="contact_last_name"),
            models.Index("org", Left(Lower("company"), 60), "id", name="contact_company"),
        )

    def __str__(self) -> str:
        return f"contact {self.pk}"


class ChosenColumns(models.Model):
    """Which columns of the list of contacts a person wants to see, in which order."""

    user = models.OneToOneField(User, on_delete=models.CASCADE, related_name="chosen_columns")
    columns = models.JSONField(default=list)

    def __str__(self) -> str:
        return f"columns of user {self.user_id}"
