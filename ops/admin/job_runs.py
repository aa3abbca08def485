from django.contrib import admin
from django.utils.translation import gettext_lazy as _

from ops.admin_base import ReadOnlyAdmin
from ops.models import JobRun
from ops.services import schedules
from ops.services.jobs import jobs
from ops.walls import OfPlatform


class JobFilter(admin.SimpleListFilter):
    """Runs of one job, by what it is called."""

    title = _("job")
    parameter_name = "job"

    def lookups(self, request, model_admin):
        return [(name, schedules.label_of(name)) for name in jobs.names()]

    def queryset(self, request, queryset):
        return queryset.filter(job=self.value()) if self.value() else queryset


@admin.register(JobRun)
class JobRunAdmin(ReadOnlyAdmin):
    wall = OfPlatform()
    list_display = ["started_at", "label", "outcome", "took", "did", "error", "worker"]
    list_filter = ["outcome", JobFilter]
    search_fields = ["job"]
    ordering = ["-started_at", "-id"]
    fields = [
        "label", "job", "due_at", "started_at", "ended_at", "took", "outcome", "did", "error",
        "worker",
    ]  # fmt: skip

    @admin.display(description=_("job"), ordering="job")
    def label(self, row):
        return schedules.label_of(row.job)

    @admin.display(description=_("seconds"), ordering="seconds")
    def took(self, row):
        return "" if row.seconds is None else f"{row.seconds:.1f}"

    def get_readonly_fields(self, request, obj=None):
        return self.fields
