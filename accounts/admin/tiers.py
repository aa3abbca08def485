from django.contrib import admin
from unfold.admin import ModelAdmin

from accounts.models import Tier


@admin.register(Tier)
class TierAdmin(ModelAdmin):
    list_display = ["name", "threshold", "multiplier"]
