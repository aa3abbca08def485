from django.contrib import admin

from catalog.models import Selection
from ops.admin_base import EditAdmin
from ops.walls import OfShop


@admin.register(Selection)
class SelectionAdmin(EditAdmin):
    wall = OfShop("shop")
    list_display = ["name", "shop", "supplier", "cost", "suggested_points", "margin", "score"]
    list_filter = ["status", "shop"]
    list_select_related = ["shop"]
    search_fields = ["name", "supplier"]
    readonly_fields = ["margin", "status", "product", "created_at", "updated_at"]
