from django.contrib import admin
from unfold.admin import ModelAdmin

from catalog.models import ProductTemplate


@admin.register(ProductTemplate)
class ProductTemplateAdmin(ModelAdmin):
    list_display = ["title", "shop", "name", "kind", "points_price"]
    list_filter = ["kind", "shop"]
    list_select_related = ["shop"]
    search_fields = ["title", "name"]
