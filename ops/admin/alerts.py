from django.contrib import admin
from unfold.admin import ModelAdmin

from ops.admin_base import ReadOnlyAdmin
from ops.models import Alert, AlertRule


@admin.register(AlertRule)
class AlertRuleAdmin(ModelAdmin):
    list_display = ["name", "metric", "comparison", "threshold", "severity", "is_enabled"]
    list_filter = ["severity", "is_enabled"]
    search_fields = ["name", "metric"]


@admin.register(Alert)
class AlertAdmin(ReadOnlyAdmin):
    list_display = ["rule", "value", "raised_at", "resolved_at"]
    list_filter = ["rule"]
    list_select_related = ["rule"]
    ordering = ["-id"]
