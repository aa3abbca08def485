from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class LotteryConfig(AppConfig):
    name = "lottery"
    verbose_name = _("Lottery")

    def ready(self):
        from lottery import integrity, key_uses

        integrity.register()
        key_uses.register()
