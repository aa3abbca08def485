from django.contrib import admin

from lottery.models import Prize
from ops.admin_base import ReadOnlyAdmin
from ops.walls import OfShop


@admin.register(Prize)
class PrizeAdmin(ReadOnlyAdmin):
    """To look prizes up; they are edited on their wheel."""

    wall = OfShop("wheel__shop")
    list_display = [
        "name",
        "wheel",
        "type",
        "value",
        "probability",
        "product",
        "published_quantity",
        "given",
    ]
    list_filter = ["wheel", "type"]
    list_select_related = ["wheel", "product"]
    search_fields = ["name"]
