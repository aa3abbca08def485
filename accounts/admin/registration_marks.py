from django.contrib import admin

from accounts.models import RegistrationMark
from ops.admin_base import ReadOnlyAdmin
from ops.walls import OfPlatform


@admin.register(RegistrationMark)
class RegistrationMarkAdmin(ReadOnlyAdmin):
    wall = OfPlatform()
    list_display = ["key_hash", "key_id", "created_at"]
    ordering = ["-id"]
