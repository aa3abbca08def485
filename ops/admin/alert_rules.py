from django.contrib import admin
from unfold.admin import ModelAdmin

from ops.models import AlertRule


@admin.register(AlertRule)
class AlertRuleAdmin(ModelAdmin):
    list_display = ["name", "metric", "comparison", "threshold", "severity", "is_enabled"]
    list_filter = ["severity", "is_enabled"]
    search_fields = ["name", "metric"]
