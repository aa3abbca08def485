from django.contrib import admin

from ops.admin_base import EditAdmin
from ops.models import AlertRule
from ops.walls import OfPlatform


@admin.register(AlertRule)
class AlertRuleAdmin(EditAdmin):
    wall = OfPlatform()
    list_display = ["name", "metric", "comparison", "threshold", "severity", "is_enabled"]
    list_filter = ["severity", "is_enabled"]
    search_fields = ["name", "metric"]
    readonly_fields = ["updated_at"]
