from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class LotteryConfig(AppConfig):
    name = "lottery"
    verbose_name = _("Lottery")

    def ready(self):
        from accounts.services import profile
        from lottery import integrity, key_uses, merging, repairs
        from lottery.models import Wheel, WheelVersion
        from lottery.services.draws import counted_of
        from ops.services.freshness import topics

        integrity.register()
        key_uses.register()
        merging.register()
        repairs.register()
        profile.counts.register("draws", counted_of)
        topics.register("lottery", (Wheel, WheelVersion))
