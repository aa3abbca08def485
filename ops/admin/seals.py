from django.contrib import admin

from ops.admin_base import ReadOnlyAdmin
from ops.models import LedgerSeal


@admin.register(LedgerSeal)
class LedgerSealAdmin(ReadOnlyAdmin):
    list_display = ["date", "accounts", "entries", "root", "sealed_at"]
    ordering = ["-date"]
