from django.contrib import admin

from catalog.models import ProductTemplate
from ops.admin_base import EditAdmin
from ops.walls import OfShop


@admin.register(ProductTemplate)
class ProductTemplateAdmin(EditAdmin):
    wall = OfShop("shop", platforms_are_shown=True)
    list_display = ["title", "shop", "name", "kind", "points_price"]
    list_filter = ["kind", "shop"]
    list_select_related = ["shop"]
    search_fields = ["title", "name"]
    readonly_fields = ["created_at", "updated_at"]
