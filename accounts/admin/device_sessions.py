from django.contrib import admin
from django.utils.translation import gettext_lazy as _

from accounts.models import DeviceSession
from accounts.services import sign_in
from ops.admin_base import ReadOnlyAdmin, change_each


@admin.register(DeviceSession)
class DeviceSessionAdmin(ReadOnlyAdmin):
    list_display = ["user", "ip_address", "user_agent", "last_activity_at", "revoked_at"]
    list_filter = ["revoked_at"]
    list_select_related = ["user"]
    search_fields = ["user__phone", "user__nickname"]
    ordering = ["-id"]
    actions = ["revoke"]

    @admin.action(description=_("End these sign-ins"))
    def revoke(self, request, sessions):
        ended = change_each(self, request, rows=sessions, change=sign_in.revoke)
        self.message_user(request, _("Ended: %(count)d") % {"count": ended})
