from django.contrib import admin

from accounts.models import RegistrationMark
from ops.admin_base import ReadOnlyAdmin
from ops.walls import OfPlatform


@admin.register(RegistrationMark)
class RegistrationMarkAdmin(ReadOnlyAdmin):
    wall = OfPlatform()
    list_display = ["__str__", "key_id", "created_at"]
    exclude = ["key_hash", "proof"]
    ordering = ["-id"]
