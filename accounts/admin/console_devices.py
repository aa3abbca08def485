from django.contrib import admin
from django.utils.translation import gettext_lazy as _

from accounts.models import ConsoleDevice
from accounts.services import console_devices
from ops.access import is_platform_staff
from ops.admin_base import ReadOnlyAdmin, change_each


@admin.register(ConsoleDevice)
class ConsoleDeviceAdmin(ReadOnlyAdmin):
    list_display = [
        "person",
        "address",
        "user_agent",
        "first_signed_in_at",
        "last_activity_at",
        "ended_at",
    ]
    fields = list_display
    list_filter = ["ended_at"]
    list_select_related = ["person"]
    search_fields = ["person__phone", "person__nickname", "person__username"]
    ordering = ["-last_activity_at", "-id"]
    actions = ["end"]

    def get_queryset(self, request):
        """One's own; whoever runs the platform sees those of everybody."""
        devices = super().get_queryset(request)
        return devices if is_platform_staff(request.user) else devices.of(request.user)

    def has_end_permission(self, request, row=None):
        return request.user.has_perm("accounts.end_consoledevice")

    @admin.action(description=_("End these sign-ins"), permissions=["end"])
    def end(self, request, devices):
        ended = change_each(self, request, rows=devices, change=console_devices.end)
        self.message_user(request, _("Ended: %(count)d") % {"count": ended})
