from django.contrib import admin
from django.utils.html import format_html_join
from django.utils.translation import gettext_lazy as _

from lottery.models import WheelVersion
from ops.admin_base import ReadOnlyAdmin
from ops.walls import OfShop


@admin.register(WheelVersion)
class WheelVersionAdmin(ReadOnlyAdmin):
    wall = OfShop("wheel__shop")
    list_display = ["wheel", "number", "cost_points", "daily_limit", "published_at", "published_by"]
    list_filter = ["wheel", "published_at"]
    list_select_related = ["wheel", "published_by"]
    ordering = ["-id"]
    fields = [
        "wheel",
        "number",
        "name",
        "organiser",
        "cost_points",
        "daily_limit",
        "pity_threshold",
        "published_at",
        "published_by",
        "odds",
    ]

    @admin.display(description=_("prizes"))
    def odds(self, version):
        """The odds sheet, a line for each prize."""
        fallback = _("fallback prize")
        lines = (
            (
                f"{prize.angle}°",
                f"{prize.probability:.2%}",
                prize.name,
                fallback if prize.prize_id == version.fallback_prize_id else "",
            )
            for prize in version.sheet.prizes
        )
        return format_html_join("", "<div>{} · {} · {} {}</div>", lines)
