from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class ReviewsConfig(AppConfig):
    name = "reviews"
    verbose_name = _("Receipts")

    def ready(self):
        from accounts.services import profile
        from ops.realtime.push import register_replay
        from ops.services.background import register_job
        from reviews import events, integrity
        from reviews.services import process, uploads

        profile.register_fact("uploads_left_today", uploads.uploads_left_today, profile_only=True)
        register_replay(events.reviewed_since)
        register_job("sweep processes", process.sweep_processes)
        integrity.register()
