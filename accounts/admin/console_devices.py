from django.contrib import admin
from django.utils.translation import gettext_lazy as _

from accounts.models import ConsoleDevice
from accounts.services import console_devices
from accounts.services.staff import check_may_act_on
from ops.admin_base import ReadOnlyAdmin, change_each
from ops.walls import OfPerson


@admin.register(ConsoleDevice)
class ConsoleDeviceAdmin(ReadOnlyAdmin):
    wall = OfPerson("person")
    list_display = [
        "person",
        "address",
        "user_agent",
        "first_signed_in_at",
        "last_activity_at",
        "ended_at",
    ]
    exclude = ["token_hash"]
    list_filter = ["ended_at"]
    list_select_related = ["person"]
    search_fields = ["=person__phone", "person__nickname", "=person__username"]
    search_permissions = {
        "=person__phone": "accounts.search_user",
        "=person__username": "accounts.search_user",
    }
    ordering = ["-last_activity_at", "-id"]
    actions = ["end"]

    def has_end_permission(self, request, device=None):
        return self.may(request, "end", device)

    @admin.action(description=_("End these sign-ins"), permissions=["end"])
    def end(self, request, devices):
        def end(device):
            check_may_act_on(author=request.user, person=device.person)
            console_devices.end(device, author_id=request.user.pk)

        ended = change_each(self, request, rows=devices, change=end)
        self.message_user(request, _("Ended: %(count)d") % {"count": ended})
