from django.contrib import admin

from ops.admin_base import ReadOnlyAdmin
from ops.models import StoredFile
from ops.walls import OfPlatform


@admin.register(StoredFile)
class StoredFileAdmin(ReadOnlyAdmin):
    wall = OfPlatform()
    list_display = ["path", "purpose", "size", "owner_id", "is_temporary", "created_at"]
    list_filter = ["purpose", "is_temporary", "storage"]
    search_fields = ["path", "sha256"]
    ordering = ["-id"]
