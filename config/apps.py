from django.apps import AppConfig


class ConfigConfig(AppConfig):
    """The frame: the commands and templates that need every app."""

    name = "config"

    def ready(self):
        from config import checks  # noqa: F401  importing registers them
