from django.contrib import admin

from lottery.models import Prize
from ops.admin_base import ReadOnlyAdmin


@admin.register(Prize)
class PrizeAdmin(ReadOnlyAdmin):
    """To look prizes up; they are edited on their wheel."""

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
