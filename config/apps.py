from django.apps import AppConfig


class ConfigConfig(AppConfig):
    """The frame: the commands and templates that need every app."""

    name = "config"
