"""The table that files of providers are merged into: one row for each NPI of an org."""

from __future__ import annotations

from django.db import models

from rowmill.models.merges import Merged


class Provider(Merged):
    """A provider. The columns are called as the fields of providers.schema.json; what a file had besides is in `extra`."""

    npi = models.TextField(default="", blank=True)
    name = models.TextField(default="", blank=True)
    specialty = models.TextField(default="", blank=True)
    phone = models.TextField(default="", blank=True)
    city = models.TextField(default="", blank=True)
    state = models.TextField(default="", blank=True)
    takes_new_patients = models.BooleanField(null=True, blank=True)
    panel_size = models.BigIntegerField(null=True, blank=True)
    visit_fee = models.DecimalField(max_digits=24, decimal_places=6, null=True, blank=True)
    verified_on = models.DateField(null=True, blank=True)
    extra = models.JSONField(default=dict, blank=True)

    class Meta:
        # The merge finds a row by this one; without it there is none.
        constraints = (models.UniqueConstraint(fields=["org", "match_key"], name="provider_once"),)
        # What an import brought is looked up by it.
        indexes = (models.Index(fields=["created_job"], name="provider_created_job"),)

    def __str__(self) -> str:
        return f"provider {self.pk}"
