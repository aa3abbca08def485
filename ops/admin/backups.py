from django.contrib import admin

from ops.admin_base import ReadOnlyAdmin
from ops.models import Backup
from ops.walls import OfPlatform


@admin.register(Backup)
class BackupAdmin(ReadOnlyAdmin):
    wall = OfPlatform()
    list_display = ["started_at", "kind", "trigger", "status", "size", "finished_at", "proven_at"]
    list_filter = ["status", "kind", "trigger"]
    ordering = ["-id"]
