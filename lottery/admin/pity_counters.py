from django.contrib import admin

from lottery.models import PityCounter
from ops.admin_base import ReadOnlyAdmin
from ops.walls import OfPlatform


@admin.register(PityCounter)
class PityCounterAdmin(ReadOnlyAdmin):
    wall = OfPlatform()
    list_display = ["person", "wheel", "current"]
    list_filter = ["wheel"]
    list_select_related = ["person", "wheel"]
    search_fields = ["=person__phone", "person__nickname"]
    search_permissions = {"=person__phone": "accounts.search_user"}
    ordering = ["-id"]
