from django.contrib import admin
from unfold.admin import ModelAdmin

from catalog.models import Selection


@admin.register(Selection)
class SelectionAdmin(ModelAdmin):
    list_display = ["name", "shop", "supplier", "cost", "suggested_points", "margin", "score"]
    list_filter = ["status", "shop"]
    list_select_related = ["shop"]
    search_fields = ["name", "supplier"]
    readonly_fields = ["margin", "status", "product"]
