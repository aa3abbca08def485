from django.contrib import admin
from django.utils.translation import gettext_lazy as _

from accounts.models import SignInCode
from ops import sensitive
from ops.admin_base import ReadOnlyAdmin
from ops.walls import OfPlatform


@admin.register(SignInCode)
class SignInCodeAdmin(ReadOnlyAdmin):
    wall = OfPlatform()
    list_display = [
        "masked_phone",
        "purpose",
        "created_at",
        "wrong_tries",
        "used_at",
        "ip_address",
    ]
    fields = [
        "masked_phone",
        "purpose",
        "created_at",
        "expires_at",
        "used_at",
        "wrong_tries",
        "ip_address",
    ]
    search_fields = ["=phone"]
    search_permissions = {"=phone": "accounts.search_user"}
    ordering = ["-id"]

    @admin.display(description=_("phone"))
    def masked_phone(self, code):
        return sensitive.masked(code.phone)
