from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class AccountsConfig(AppConfig):
    name = "accounts"
    verbose_name = _("People and points")

    def ready(self):
        from accounts import console_session, integrity, jobs, key_uses, merging, repairs
        from accounts import live_settings as _declared  # noqa: F401  importing declares them
        from accounts.consumers import close_ended
        from ops.realtime.hub import housekeeping

        console_session.listen()
        integrity.register()
        jobs.register()
        key_uses.register()
        merging.register()
        repairs.register()
        housekeeping.register("ended sign-ins", close_ended)
