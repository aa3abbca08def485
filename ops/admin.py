from django.contrib import admin
from django_tasks_db.models import DBTaskResult
from unfold.admin import ModelAdmin

from ops.console import ReadOnlyAdmin
from ops.models import Alert, AlertRule, Backup, IdempotencyRecord, MigrationRun, StoredFile

# The queue's own page is neither in the theme's style nor in Chinese; what matters of a reading
# is in its ProcessRecord.
admin.site.unregister(DBTaskResult)


@admin.register(StoredFile)
class StoredFileAdmin(ReadOnlyAdmin):
    list_display = ["path", "purpose", "size", "owner_id", "is_temporary", "created_at"]
    list_filter = ["purpose", "is_temporary", "storage"]
    search_fields = ["path", "sha256"]
    ordering = ["-id"]


@admin.register(IdempotencyRecord)
class IdempotencyRecordAdmin(ReadOnlyAdmin):
    list_display = ["path", "owner_id", "created_at"]
    # The answers hold what belongs to the person: tokens of orders, addresses of pictures.
    fields = ["owner_id", "path", "key", "created_at"]
    list_filter = ["path"]
    search_fields = ["key"]
    ordering = ["-id"]


@admin.register(Backup)
class BackupAdmin(ReadOnlyAdmin):
    list_display = ["started_at", "status", "size", "finished_at", "proven_at"]
    list_filter = ["status"]
    ordering = ["-id"]


@admin.register(MigrationRun)
class MigrationRunAdmin(ReadOnlyAdmin):
    list_display = ["started_at", "status", "finished_at", "backup"]
    list_filter = ["status"]
    list_select_related = ["backup"]
    ordering = ["-id"]


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
