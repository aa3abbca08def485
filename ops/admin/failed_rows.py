from django.contrib import admin
from django.utils.translation import gettext_lazy as _

from ops.admin_base import ReadOnlyAdmin, change_each
from ops.models import FailedRow
from ops.services import failed_rows
from ops.walls import OfPlatform


@admin.register(FailedRow)
class FailedRowAdmin(ReadOnlyAdmin):
    wall = OfPlatform()
    list_display = ["job", "row_id", "failures", "error", "last_failed_at", "set_aside_at"]
    list_filter = ["job", ("set_aside_at", admin.EmptyFieldListFilter)]
    search_fields = ["row_id"]
    ordering = ["-last_failed_at"]
    actions = ["try_again"]

    def has_retry_permission(self, request, row=None):
        return self.may(request, "retry", row)

    @admin.action(description=_("Try again"), permissions=["retry"])
    def try_again(self, request, rows):
        count = change_each(self, request, rows=rows, change=failed_rows.try_again)
        self.message_user(request, _("Tried again at the next round: %(count)d") % {"count": count})
