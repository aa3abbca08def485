from django.contrib import admin
from django.utils.translation import gettext_lazy as _

from ops.admin.queue import standing
from ops.admin_base import ReadOnlyAdmin, change_each
from ops.models import Schedule
from ops.services import schedules
from ops.services.jobs import interval_in_words, jobs
from ops.walls import OfPlatform


class FailingFilter(admin.SimpleListFilter):
    """Jobs whose last run failed, apart from the others."""

    title = _("failures in a row")
    parameter_name = "failing"

    def lookups(self, request, model_admin):
        return [("yes", _("Failing")), ("no", _("Not failing"))]

    def queryset(self, request, queryset):
        match self.value():
            case "yes":
                return queryset.filter(failures__gt=0)
            case "no":
                return queryset.filter(failures=0)
        return queryset


@admin.register(Schedule)
class ScheduleAdmin(ReadOnlyAdmin):
    wall = OfPlatform()
    list_display = [
        "label",
        "interval",
        "last_started_at",
        "last_outcome",
        "failures",
        "next_due_at",
        "claimed_by",
    ]
    list_filter = [FailingFilter, "last_outcome"]
    search_fields = ["job"]
    ordering = ["job"]
    actions = ["run_now"]
    list_before_template = "admin/ops/schedule/queue.html"
    fields = [
        "label",
        "job",
        "interval",
        "last_started_at",
        "last_outcome",
        "failures",
        "next_due_at",
        "claimed_by",
        "leased_until",
    ]

    @admin.display(description=_("job"), ordering="job")
    def label(self, row):
        return schedules.label_of(row.job)

    @admin.display(description=_("interval"))
    def interval(self, row):
        if row.job not in jobs.names():
            return _("not in this version")
        return interval_in_words(jobs[row.job])

    def get_readonly_fields(self, request, obj=None):
        return self.fields

    def changelist_view(self, request, extra_context=None):
        return super().changelist_view(request, {**(extra_context or {}), "queue": standing()})

    def has_run_permission(self, request, row=None):
        return self.may(request, "run", row)

    @admin.action(description=_("Run now"), permissions=["run"])
    def run_now(self, request, rows):
        count = change_each(self, request, rows=rows, change=schedules.run_now)
        self.message_user(request, _("Due at once: %(count)d") % {"count": count})
