"""What Django has to know of the app: its name, by which ROWMILL_APPS and the kind speak of it."""

from __future__ import annotations

from django.apps import AppConfig


class ProviderDirectoryConfig(AppConfig):
    """The app."""

    name = "provider_directory"
    verbose_name = "Provider directory"
