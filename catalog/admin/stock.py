from django.contrib import admin

from catalog.models import StockEntry
from ops.admin_base import ReadOnlyAdmin
from ops.walls import OfShop


@admin.register(StockEntry)
class StockEntryAdmin(ReadOnlyAdmin):
    wall = OfShop("product__shop")
    list_display = [
        "created_at",
        "product",
        "sequence",
        "quantity",
        "operation",
        "stock_after",
        "author",
        "reason",
    ]
    list_filter = ["operation", "created_at"]
    list_select_related = ["product", "author"]
    search_fields = ["product__name", "related_id"]
    ordering = ["-id"]
