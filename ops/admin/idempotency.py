from django.contrib import admin

from ops.admin_base import ReadOnlyAdmin
from ops.models import IdempotencyRecord
from ops.walls import OfPlatform


@admin.register(IdempotencyRecord)
class IdempotencyRecordAdmin(ReadOnlyAdmin):
    wall = OfPlatform()
    list_display = ["path", "owner_id", "created_at"]
    # The answers hold what belongs to the person: tokens of orders, addresses of pictures.
    fields = ["owner_id", "path", "key", "created_at"]
    list_filter = ["path"]
    search_fields = ["key"]
    ordering = ["-id"]
