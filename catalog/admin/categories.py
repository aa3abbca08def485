from django.contrib import admin
from unfold.admin import ModelAdmin

from catalog.models import Category


@admin.register(Category)
class CategoryAdmin(ModelAdmin):
    list_display = ["name", "position"]
    search_fields = ["name"]
