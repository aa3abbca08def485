from django.contrib import admin

from accounts.models import Tier
from ops.admin_base import EditAdmin


@admin.register(Tier)
class TierAdmin(EditAdmin):
    list_display = ["name", "threshold", "multiplier"]
    readonly_fields = ["updated_at"]
