from django.contrib import admin

from ops.admin_base import ReadOnlyAdmin
from ops.models import MigrationRun
from ops.walls import OfPlatform


@admin.register(MigrationRun)
class MigrationRunAdmin(ReadOnlyAdmin):
    wall = OfPlatform()
    list_display = ["started_at", "status", "finished_at", "backup"]
    list_filter = ["status"]
    list_select_related = ["backup"]
    ordering = ["-id"]
