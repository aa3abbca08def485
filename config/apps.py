from django.apps import AppConfig


class ConfigConfig(AppConfig):
    """What needs every app: the entry points, the console's theme, the demo."""

    name = "config"

    def ready(self):
        from config import checks  # noqa: F401  importing registers them
