"""The status page: how the platform stands, and how it went. It stays open in maintenance."""

from datetime import timedelta

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import HttpResponseNotAllowed
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext as _
from django.utils.translation import ngettext, pgettext

from ops import charts
from ops.access import access_of
from ops.admin import diagnosis as diagnosis_page
from ops.admin import maintenance as maintenance_page
from ops.admin.queue import standing as queue_standing
from ops.admin_base import ReadOnlyAdmin
from ops.backups import freshness
from ops.models import ProcessBeat
from ops.monitoring import courses, drawing, standing
from ops.services import maintenance, schedules
from ops.services.jobs import interval_in_words, jobs
from ops.walls import OfPlatform

NEARLY_OUT = 0.8  # of the connections that the database allows


@admin.register(ProcessBeat)
class ProcessBeatAdmin(ReadOnlyAdmin):
    """The processes as a list; status, maintenance and diagnosis have addresses below it."""

    wall = OfPlatform()
    list_display = [
        "kind",
        "host",
        "pid",
        "version",
        "started_at",
        "beat_at",
        "worker_seen_at",
        "scheduler_seen_at",
    ]
    list_filter = ["kind"]
    search_fields = ["host"]
    ordering = ["-beat_at"]

    def get_urls(self):
        view = self.admin_site.admin_view
        return [
            path("status/", view(self.status_view), name="ops_processbeat_status"),
            path("maintenance/", view(maintenance_page.show), name="ops_processbeat_maintenance"),
            path("diagnosis/", view(diagnosis_page.show), name="ops_processbeat_diagnosis"),
            *super().get_urls(),
        ]

    def status_view(self, request):
        may = access_of(request.user).may_everywhere
        if not may("ops.view_processbeat"):
            raise PermissionDenied
        if request.method not in {"GET", "HEAD"}:
            return HttpResponseNotAllowed(["GET", "HEAD"])
        now = timezone.now()
        asked = request.GET.get("range", courses.USUAL.name)
        period = courses.PERIODS.get(asked, courses.USUAL)
        if period.name != asked:
            text = _("There is no such period. This is what there was in %(period)s.")
            self.message_user(request, text % {"period": period.label}, messages.WARNING)
        sections = {
            "health": standing.health(now=now),
            "processes": standing.living_processes(now=now),
            "jobs": _jobs(now) if may("ops.view_schedule") else None,
            "queue": queue_standing() if may("ops.view_schedule") else None,
            "alerts": _first(standing.open_alerts()) if may("ops.view_alert") else None,
            "errors": _first(standing.open_errors()) if may("ops.view_errorgroup") else None,
            "database": standing.database(),
            "backups": _backups(now) if may("ops.view_backup") else None,
            "disk": standing.disk(),
            "versions": standing.versions(),
            "maintenance": maintenance.current(),
        }
        context = {
            **self.admin_site.each_context(request),
            **sections,
            "title": _("Status"),
            "now": now,
            "wrong": list(_what_is_wrong(sections)),
            "periods": courses.PERIODS.values(),
            **_charts(period, now),
        }
        return TemplateResponse(request, "admin/ops/status/status.html", context)


# --- Sections -----------------------------------------------------------------------------------
def _first(rows):
    """The first rows of a list, and how many there are."""
    found = list(rows[: standing.MOST_ROWS])
    is_all = len(found) < standing.MOST_ROWS
    return {"rows": found, "count": len(found) if is_all else rows.count()}


def _jobs(now):
    found = standing.jobs_standing(now=now)
    failing = [(schedules.label_of(one.job), one.failures) for one in found.failing]
    late = [
        (schedules.label_of(one.job), now - timedelta(seconds=one.late_seconds))
        for one in found.late
    ]
    return {
        "count": found.count,
        "failing": failing[: standing.MOST_ROWS],
        "late": late[: standing.MOST_ROWS],
        "more": sum(max(0, len(one) - standing.MOST_ROWS) for one in (failing, late)),
        "all_failing": len(failing),
        "all_late": len(late),
        "next": [
            (schedules.label_of(one.job), interval_in_words(jobs[one.job]), one.next_due_at)
            for one in found.next
        ],
    }


def _backups(now):
    found = freshness.look(now)
    return {"newest": found.newest, "since": now - found.overdue if found.overdue else None}


def _what_is_wrong(sections):
    """A sentence and where more is said, for each thing that somebody should look at."""
    if sections["maintenance"].is_on:
        yield _("The platform is being maintained."), reverse("admin:ops_processbeat_maintenance")
    if failing := sections["health"].failing:
        names = ", ".join(check.label for check in failing)
        yield _("Unwell: %(names)s.") % {"names": names}, "#health"
    if sections["health"].is_old:
        yield _("Health was not looked at lately."), "#health"
    if sections["alerts"] and (count := sections["alerts"]["count"]):
        text = ngettext("%(count)d alert is open.", "%(count)d alerts are open.", count)
        yield text % {"count": count}, "#alerts"
    if found := sections["jobs"]:
        if count := found["all_failing"]:
            text = ngettext("%(count)d periodic job fails.", "%(count)d periodic jobs fail.", count)
            yield text % {"count": count}, "#jobs"
        if count := found["all_late"]:
            text = ngettext(
                "%(count)d periodic job is late.", "%(count)d periodic jobs are late.", count
            )
            yield text % {"count": count}, "#jobs"
    if (found := sections["queue"]) and found["has_asked"] and found["waiting"] is None:
        yield _("The queue of tasks cannot be reached."), "#queue"
    if sections["database"].share_used >= NEARLY_OUT:
        yield _("The database is nearly out of connections."), "#database"
    if (found := sections["backups"]) and found["since"]:
        yield _("There is no young proven backup."), "#backups"
    if sections["disk"].is_nearly_full:
        yield _("The disk is nearly full."), "#disk"


# --- Charts -------------------------------------------------------------------------------------
def _charts(period, now):
    shown = courses.read(period, now=now)
    groups = []
    unsaid = []
    for group, of_group in charts.in_order():
        drawn = []
        for chart in of_group:
            course = shown.courses[chart.name]
            if any(value is not None for value in (*course.now, *course.before)):
                drawn.append(Drawn(course, period))
            else:
                unsaid.append(str(chart.title))
        if drawn:
            groups.append((group.label, drawn))
    return {
        "period": period,
        "groups": groups,
        "unsaid": unsaid,
        "marks": _marks(shown),
        "width": drawing.WIDTH,
        "height": drawing.HEIGHT,
        "lines": [drawing.HEIGHT, drawing.HEIGHT / 2 + drawing.ABOVE / 2, drawing.ABOVE],
    }


def _marks(shown):
    """Beginning, middle and end of the period, as charts say them below."""
    is_of_days = shown.period.seconds > courses.DAY
    form = "MONTH_DAY_FORMAT" if is_of_days else "H:i"
    # The midnight at which the last day ends is the next day's.
    ends = shown.ends - timedelta(seconds=1) if is_of_days else shown.ends
    middle = shown.begins + (shown.ends - shown.begins) / 2
    moments = [timezone.localtime(one) for one in (shown.begins, middle, ends)]
    return [date_format(moment, form) for moment in moments]


class Drawn:
    """A chart as the page shows it."""

    def __init__(self, course, period):
        chart = course.chart
        is_count = chart.shows is charts.Shows.COUNT
        top = drawing.top_of(course.now, course.before)
        self.name = chart.name
        self.title = chart.title
        self.unit = period.of_a_step if is_count else chart.unit
        self.top, self.middle = drawing.in_words(top), drawing.in_words(top / 2)
        self.now = drawing.path(course.now, top=top)
        self.before = drawing.path(course.before, top=top)
        self.has_total = is_count
        self.rows = [
            (_("this period"), _in_words(course.now, is_count)),
            (pgettext("the period before", "before"), _in_words(course.before, is_count)),
        ]

    @property
    def in_words(self):
        """What the drawing shows, for whoever does not see it."""
        said = [
            _("%(period)s: from %(least)s to %(most)s, %(mean)s on average, %(last)s at the end.")
            % {"period": period, **figures}
            for period, figures in self.rows
        ]
        return " ".join(said)


def _in_words(values, is_count):
    found = drawing.Figures.of(values)
    said = {name: getattr(found, name) for name in ("last", "least", "most", "total")}
    if is_count:  # how much of it fell into a step was reckoned
        said = {name: value if value is None else round(value) for name, value in said.items()}
    return {name: drawing.in_words(value) for name, value in {**said, "mean": found.mean}.items()}
