"""Django's view of the package: one app; where a broker is set, it connects the doorbell."""

from importlib import import_module

from django.apps import AppConfig
from django.conf import settings

from rowmill.errors import ConfigError


class RowmillConfig(AppConfig):
    """The one app."""

    name = "rowmill"
    label = "rowmill"
    verbose_name = "Rowmill"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Connect the doorbell where a broker is set. Raises: ConfigError where what it takes is not installed."""
        if not settings.ROWMILL_BROKER_URL:
            return
        try:
            module = import_module("rowmill.celery")
        except ModuleNotFoundError as error:
            raise ConfigError(
                f"ROWMILL_BROKER_URL is set, and {error.name} is not installed. Install it: pip install 'rowmill[cluster]'."
            ) from None
        module.connect_doorbell()
