"""Django's view of the package: one app."""

from django.apps import AppConfig


class RowmillConfig(AppConfig):
    """The one app."""

    name = "rowmill"
    label = "rowmill"
    verbose_name = "Rowmill"
    default_auto_field = "django.db.models.BigAutoField"
