from django.contrib import admin

from favorites.models import Favorite
from ops.admin_base import ReadOnlyAdmin


@admin.register(Favorite)
class FavoriteAdmin(ReadOnlyAdmin):
    list_display = ["person", "product", "created_at"]
    list_filter = ["created_at"]
    list_select_related = ["person", "product"]
    search_fields = ["person__phone", "person__nickname", "product__name"]
    ordering = ["-id"]
