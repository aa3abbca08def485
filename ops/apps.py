from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class OpsConfig(AppConfig):
    name = "ops"
    verbose_name = _("Operations")

    def ready(self):
        from ops import health_checks
        from ops.services import background, files, idempotency

        health_checks.register()
        background.register_job("lost tasks", background.mark_lost_tasks)
        background.register_job("expired files", files.discard_expired)
        background.register_job("expired idempotency records", idempotency.forget_expired)
