from django.contrib import admin

from favorites.models import Favorite
from ops.admin_base import ReadOnlyAdmin
from ops.walls import OfPlatform


@admin.register(Favorite)
class FavoriteAdmin(ReadOnlyAdmin):
    wall = OfPlatform()
    list_display = ["person", "product", "created_at"]
    list_filter = ["created_at"]
    list_select_related = ["person", "product"]
    search_fields = ["=person__phone", "person__nickname", "product__name"]
    search_permissions = {"=person__phone": "accounts.search_user"}
    ordering = ["-id"]
