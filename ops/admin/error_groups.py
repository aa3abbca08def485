from django.contrib import admin
from django.utils.html import format_html
from django.utils.translation import gettext_lazy as _

from ops.admin_base import ReadOnlyAdmin, change_each
from ops.models import ErrorGroup
from ops.services import error_groups
from ops.walls import OfPlatform


@admin.register(ErrorGroup)
class ErrorGroupAdmin(ReadOnlyAdmin):
    wall = OfPlatform()
    list_display = ["kind", "where", "state", "count", "first_seen", "last_seen", "release"]
    list_filter = ["state", "logger"]
    search_fields = ["kind", "where", "route", "request_id"]
    ordering = ["-last_seen"]
    fields = [
        "kind", "where", "state", "count", "first_seen", "last_seen", "done_at", "release",
        "logger", "route", "request_id", "example", "fingerprint",
    ]  # fmt: skip
    readonly_fields = ["example"]
    actions = ["say_done"]

    def has_close_permission(self, request, row=None):
        return self.may(request, "close", row)

    @admin.display(description=_("sample"))
    def example(self, row):
        return format_html('<pre class="overflow-x-auto">{}</pre>', row.sample)

    @admin.action(description=_("Done"), permissions=["close"])
    def say_done(self, request, rows):
        count = change_each(self, request, rows=rows, change=error_groups.close)
        self.message_user(request, _("Done: %(count)d") % {"count": count})
