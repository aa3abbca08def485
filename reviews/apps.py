from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class ReviewsConfig(AppConfig):
    name = "reviews"
    verbose_name = _("Receipts")

    def ready(self):
        from accounts.services import profile
        from ops.push import register_replay
        from reviews import checks, push
        from reviews.services import uploads

        profile.register_fact("uploads_left_today", uploads.uploads_left_today, profile_only=True)
        register_replay(push.reviewed_since)
        checks.register()
