from django.contrib import admin

from catalog.models import VirtualCode
from ops.admin_base import ReadOnlyAdmin
from ops.walls import OfShop


@admin.register(VirtualCode)
class VirtualCodeAdmin(ReadOnlyAdmin):
    wall = OfShop("product__shop")
    list_display = ["__str__", "product", "order", "delivered_at", "created_at"]
    # Neither the code nor what it is encrypted or hashed to; it is called by eight digits of that.
    fields = ["product", "order", "delivered_at", "created_at"]
    list_filter = [("order", admin.EmptyFieldListFilter), "product"]
    list_select_related = ["product", "order"]
    ordering = ["-id"]
