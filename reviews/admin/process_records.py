from django.contrib import admin

from ops.admin_base import ReadOnlyAdmin
from ops.walls import OfShop
from reviews.models import ProcessRecord


@admin.register(ProcessRecord)
class ProcessRecordAdmin(ReadOnlyAdmin):
    wall = OfShop("receipt__shop")
    list_display = [
        "id",
        "receipt",
        "kind",
        "status",
        "progress",
        "duration",
        "attempts",
        "error",
        "created_at",
    ]
    list_filter = ["status", "kind", "created_at"]
    list_select_related = ["receipt"]
    search_fields = ["=receipt__id"]
    ordering = ["-id"]
