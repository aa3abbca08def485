from django.contrib import admin

from lottery.models import Draw
from ops.admin_base import ReadOnlyAdmin
from ops.walls import OfShop


@admin.register(Draw)
class DrawAdmin(ReadOnlyAdmin):
    wall = OfShop("wheel__shop")
    list_display = [
        "id",
        "created_at",
        "person",
        "version",
        "nonce",
        "ticket",
        "prize_id",
        "is_pity",
        "cost_points",
        "value_given",
    ]
    list_filter = ["is_pity", "created_at"]
    list_select_related = ["person", "version"]
    search_fields = ["=id", "=person__phone", "person__nickname"]
    search_permissions = {"=person__phone": "accounts.search_user"}
    ordering = ["-id"]
