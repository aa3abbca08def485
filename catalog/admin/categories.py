from django.contrib import admin

from catalog.models import Category
from ops.admin_base import EditAdmin


@admin.register(Category)
class CategoryAdmin(EditAdmin):
    list_display = ["name", "position"]
    search_fields = ["name"]
    readonly_fields = ["updated_at"]
