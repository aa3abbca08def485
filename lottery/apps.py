from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class LotteryConfig(AppConfig):
    name = "lottery"
    verbose_name = _("Lottery")

    def ready(self):
        from lottery import integrity, key_uses
        from lottery.models import Wheel, WheelVersion
        from ops.services.freshness import topics

        integrity.register()
        key_uses.register()
        topics.register("lottery", (Wheel, WheelVersion))
