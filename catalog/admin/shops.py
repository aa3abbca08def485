from django.contrib import admin
from unfold.admin import TabularInline

from catalog.models import (
    Shop,
    ShopMember,
)
from ops.admin_base import EditAdmin


class ShopMemberInline(TabularInline):
    model = ShopMember
    extra = 0
    autocomplete_fields = ["person"]


@admin.register(Shop)
class ShopAdmin(EditAdmin):
    list_display = ["name", "address", "is_open"]
    list_filter = ["is_open"]
    search_fields = ["name", "address"]
    readonly_fields = ["created_at", "updated_at"]
    inlines = [ShopMemberInline]
