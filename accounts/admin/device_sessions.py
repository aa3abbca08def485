from django.contrib import admin
from django.utils.translation import gettext_lazy as _

from accounts.models import DeviceSession
from accounts.services import sign_in
from accounts.services.staff import check_may_act_on
from ops.admin_base import ReadOnlyAdmin, change_each
from ops.walls import OfPlatform


@admin.register(DeviceSession)
class DeviceSessionAdmin(ReadOnlyAdmin):
    wall = OfPlatform()
    list_display = ["user", "ip_address", "user_agent", "last_activity_at", "revoked_at"]
    list_filter = ["revoked_at"]
    list_select_related = ["user"]
    search_fields = ["=user__phone", "user__nickname"]
    search_permissions = {"=user__phone": "accounts.search_user"}
    ordering = ["-id"]
    actions = ["revoke"]

    def has_end_permission(self, request, session=None):
        return self.may(request, "end", session)

    @admin.action(description=_("End these sign-ins"), permissions=["end"])
    def revoke(self, request, sessions):
        def end(session):
            check_may_act_on(author=request.user, person=session.user)
            sign_in.revoke(session, author_id=request.user.pk)

        ended = change_each(self, request, rows=sessions, change=end)
        self.message_user(request, _("Ended: %(count)d") % {"count": ended})
