from django.contrib import admin

from ops.admin_base import ReadOnlyAdmin
from ops.models import Backup


@admin.register(Backup)
class BackupAdmin(ReadOnlyAdmin):
    list_display = ["started_at", "status", "size", "finished_at", "proven_at"]
    list_filter = ["status"]
    ordering = ["-id"]
