from django.contrib import admin

from ops.admin_base import ReadOnlyAdmin
from ops.models import Alert
from ops.walls import OfPlatform


@admin.register(Alert)
class AlertAdmin(ReadOnlyAdmin):
    wall = OfPlatform()
    list_display = [
        "rule",
        "series",
        "value",
        "since",
        "raised_at",
        "resolved_at",
        "unread_since",
        "told_times",
    ]
    list_filter = ["rule", "rule__severity"]
    list_select_related = ["rule"]
    ordering = ["-id"]
