from django.contrib import admin

from ops.admin_base import ReadOnlyAdmin
from ops.models import Alert


@admin.register(Alert)
class AlertAdmin(ReadOnlyAdmin):
    list_display = ["rule", "value", "raised_at", "resolved_at"]
    list_filter = ["rule"]
    list_select_related = ["rule"]
    ordering = ["-id"]
