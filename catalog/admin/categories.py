from django.contrib import admin

from catalog.models import Category
from ops.admin_base import EditAdmin
from ops.walls import Shared


@admin.register(Category)
class CategoryAdmin(EditAdmin):
    wall = Shared()
    list_display = ["name", "position"]
    search_fields = ["name"]
    readonly_fields = ["updated_at"]
