from django.apps import AppConfig
from django.conf import settings
from django.db.backends.signals import connection_created
from django.utils.module_loading import autodiscover_modules
from django.utils.translation import gettext_lazy as _


class OpsConfig(AppConfig):
    name = "ops"
    verbose_name = _("Operations")

    def ready(self):
        from ops import beats, health_checks, integrity, jobs, key_uses, repairs, setting_kinds
        from ops import live_settings as _declared  # noqa: F401  importing declares them
        from ops.backups import jobs as backup_jobs
        from ops.backups import metrics as _measured  # noqa: F401  importing declares them
        from ops.logs import queries, tasks
        from ops.models import LiveSetting
        from ops.monitoring import jobs as monitoring_jobs
        from ops.monitoring import kept_health, kept_queue, metrics, platform_charts, watch  # noqa: F401
        from ops.services import health, live_settings, maintenance
        from ops.services.freshness import topics
        from ops.services.jobs import pauses

        # Of every app: a process that never comes to a service has its measures all the same.
        autodiscover_modules("metrics")
        beats.register()
        health_checks.register()
        integrity.register()
        jobs.register()
        pauses.register("maintenance", maintenance.is_on)
        monitoring_jobs.register()
        backup_jobs.register()
        watch.register()
        kept_health.register()
        kept_queue.register()
        key_uses.register()
        repairs.register()
        setting_kinds.set_reader(live_settings.read_at_first_use)
        health.readiness_checks.register("maintenance", maintenance.refuse_while_on)
        maintenance.open_pages.register("settings", "admin:ops_livesetting_changelist")
        maintenance.open_pages.register("jobs", "admin:ops_schedule_changelist")
        maintenance.open_pages.register("status", "admin:ops_processbeat_status")
        maintenance.open_pages.register("switch", "admin:ops_processbeat_maintenance")
        maintenance.open_pages.register("diagnosis", "admin:ops_processbeat_diagnosis")
        topics.register(live_settings.TOPIC, (LiveSetting,))
        connection_created.connect(queries.watch_connection)
        tasks.follow()
        if settings.SENTRY_DSN:
            from ops.logs import sentry

            sentry.start()
