from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class ReviewsConfig(AppConfig):
    name = "reviews"
    verbose_name = _("Receipts")

    def ready(self):
        from accounts.services import customers, profile
        from ops.realtime.push import replays
        from reviews import integrity, jobs, merging, repairs
        from reviews import live_settings as _declared  # noqa: F401  importing declares them
        from reviews.events import reviewed_since
        from reviews.services.uploads import counted_of, uploaded_at, uploads_left_today

        integrity.register()
        jobs.register()
        merging.register()
        repairs.register()
        customers.dealings.register("receipts", uploaded_at)
        profile.facts.register("uploads_left_today", uploads_left_today)
        profile.counts.register("receipts", counted_of)
        replays.register("reviews", reviewed_since)
