from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class OpsConfig(AppConfig):
    name = "ops"
    verbose_name = _("Operations")

    def ready(self):
        from ops import health_checks, integrity, jobs, key_uses

        health_checks.register()
        integrity.register()
        jobs.register()
        key_uses.register()
