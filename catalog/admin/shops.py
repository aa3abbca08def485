from django.contrib import admin

from catalog.models import Shop
from ops.admin_base import EditAdmin
from ops.walls import OfShop


@admin.register(Shop)
class ShopAdmin(EditAdmin):
    wall = OfShop("pk")
    list_display = ["name", "address", "is_open"]
    list_filter = ["is_open"]
    search_fields = ["name", "address"]
    readonly_fields = ["created_at", "updated_at"]

    def has_delete_permission(self, request, obj=None):
        return False  # its ledgers stay: a shop that is over is closed
