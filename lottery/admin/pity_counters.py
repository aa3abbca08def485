from django.contrib import admin

from lottery.models import PityCounter
from ops.admin_base import ReadOnlyAdmin


@admin.register(PityCounter)
class PityCounterAdmin(ReadOnlyAdmin):
    list_display = ["person", "wheel", "current"]
    list_filter = ["wheel"]
    list_select_related = ["person", "wheel"]
    search_fields = ["person__phone", "person__nickname"]
    ordering = ["-id"]
