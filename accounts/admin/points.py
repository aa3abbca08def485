from django.contrib import admin

from accounts.models import PointsEntry
from ops.admin_base import ReadOnlyAdmin
from ops.walls import OfPlatform


@admin.register(PointsEntry)
class PointsEntryAdmin(ReadOnlyAdmin):
    wall = OfPlatform()
    list_display = ["created_at", "user", "sequence", "points", "source", "balance_after"]
    list_filter = ["source", "created_at"]
    list_select_related = ["user"]
    search_fields = ["=user__phone", "user__nickname", "related_id"]
    search_permissions = {"=user__phone": "accounts.search_user"}
    date_hierarchy = "created_at"
    ordering = ["-id"]
