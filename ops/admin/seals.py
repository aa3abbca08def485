from django.contrib import admin

from ops.admin_base import ReadOnlyAdmin
from ops.models import LedgerSeal
from ops.walls import OfPlatform


@admin.register(LedgerSeal)
class LedgerSealAdmin(ReadOnlyAdmin):
    wall = OfPlatform()
    list_display = ["date", "accounts", "entries", "root", "sealed_at"]
    ordering = ["-date"]
