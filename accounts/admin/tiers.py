from django.contrib import admin

from accounts.models import Tier
from ops.admin_base import EditAdmin
from ops.walls import Shared


@admin.register(Tier)
class TierAdmin(EditAdmin):
    wall = Shared()
    list_display = ["name", "threshold", "multiplier"]
    readonly_fields = ["updated_at"]
