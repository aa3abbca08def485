"""The status page: what it says of the present, its charts, who may look, what it costs."""

import re
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Group, Permission
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone, translation
from django.utils.formats import date_format
from redis.exceptions import RedisError

from ops.access import Role
from ops.charts import charts
from ops.models import AlertRule, Backup, ChartSample, ErrorGroup, ErrorState, ProcessBeat, Schedule
from ops.models.alerts import Alert
from ops.monitoring import kept_health, kept_queue, samples, standing, watch
from ops.monitoring.courses import PERIODS
from ops.monitoring.series import Series
from ops.services import maintenance, schedules
from ops.services.health import Report
from ops.tests.alerts import make_rule
from ops.tests.databases import as_a_plain_role, elsewhere, on_sqlite
from tests.console import console_of, refused_unchanged

pytestmark = pytest.mark.django_db
PAGE = reverse("admin:ops_processbeat_status")
NASTY = '<script>alert("1")</script>'
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)


@pytest.fixture(autouse=True)
def nothing_kept():
    kept_health.forget()
    yield
    kept_health.forget()


@pytest.fixture
def console(cast):
    client = console_of(cast.staff)
    client.defaults["HTTP_ACCEPT_LANGUAGE"] = "en"
    return client


def said(page):
    """The words of a page, without its tags."""
    return " ".join(re.sub(r"<[^>]+>", " ", page.content.decode()).split())


def wrong(page):
    return [str(text) for text, _address in page.context["wrong"]]


def looked(**checks):
    """Let health have been looked at just now; a text is why a check failed."""
    kept = kept_health.newest()
    kept.looked_at = timezone.now()
    kept.report = Report(
        {
            name: {"status": "failed" if why else "ok", "detail": why, "milliseconds": 1.5}
            for name, why in checks.items()
        }
    )


def lives(kind="web", **fields):
    now = timezone.now()
    facts = {
        "name": f"{kind}-{ProcessBeat.objects.count()}",
        "kind": kind,
        "host": "machine-a",
        "pid": 4711,
        "version": "1.2.3",
        "started_at": now - 2 * HOUR,
        "beat_at": now,
        "memory": 100 * 1024**2,
        "cpu_seconds": 77,
    }
    return ProcessBeat.objects.create(**facts | fields)


# --- What is there now ----------------------------------------------------------------------------
def test_an_empty_platform_has_a_page(console):
    page = console.get(PAGE)
    assert page.status_code == 200
    text = said(page)
    for sentence in (
        "This process has not looked yet",
        "None is open.",
        "Nobody has to see to any.",
        "No process was heard of in the last half minute.",
        "None waits for its time.",
        "Nothing was sampled yet.",
        "Queue of tasks This process has not asked it yet.",
    ):
        assert sentence in text
    assert wrong(page) == ["Health was not looked at lately."]


def test_where_nothing_is_wrong_it_says_so(console):
    looked(database="", disk="")
    page = console.get(PAGE)
    assert wrong(page) == []
    assert "Nothing is wrong." in said(page)


def test_health_is_what_a_beat_found_and_nobody_is_asked(console, monkeypatch):
    looked(database="", storage="StorageUnproven: away", of_an_app="Boom")
    page = console.get(PAGE)
    text = said(page)
    assert "Database well" in text
    assert "Storage unwell StorageUnproven: away" in text
    assert wrong(page) == ["Unwell: Storage, of_an_app."]
    kept_health.newest().looked_at = timezone.now() - HOUR
    assert "Health was not looked at lately." in wrong(console.get(PAGE))


def test_processes_that_live_are_shown_and_the_silent_counted(console):
    lives("web", version="1.2.3")
    lives("worker", version="1.2.4", worker_seen_at=timezone.now(), host=NASTY)
    lives("web", beat_at=timezone.now() - 10 * MINUTE)
    lives("command")
    lives("web", beat_at=timezone.now() - 2 * HOUR)
    page = console.get(PAGE)
    assert [row.kind for row in page.context["processes"].living] == ["web", "worker"]
    text = said(page)
    assert "1 process fell silent within the last hour." in text
    assert "Several versions run side by side: 1.2.3, 1.2.4." in text
    assert "100.0 MB" in text.replace("\xa0", " ")
    assert NASTY not in page.content.decode()


def test_jobs_that_fail_are_late_or_come_next(console):
    now = timezone.now()
    schedules.add_missing(now=now)
    Schedule.objects.update(next_due_at=now + HOUR)
    Schedule.objects.filter(job="expire orders").update(failures=3, last_outcome="failed")
    Schedule.objects.filter(job="old job runs").update(next_due_at=now - 5 * MINUTE)
    Schedule.objects.filter(job="thin metric samples").update(next_due_at=now + MINUTE)
    page = console.get(PAGE)
    found = page.context["jobs"]
    assert [failures for _label, failures in found["failing"]] == [3]
    ((_label, since),) = found["late"]
    assert abs(since - (now - 5 * MINUTE)) < timedelta(seconds=1)
    assert "late Forget old runs of periodic jobs for 5 minutes" in said(page)
    assert found["next"][0][0] == "Thin old metric samples"
    assert len(found["next"]) == standing.NEXT_JOBS
    assert "failing Take back orders whose time is over 3 times in a row" in said(page)
    assert {"1 periodic job fails.", "1 periodic job is late."} <= set(wrong(page))


def test_open_alerts_come_the_worst_first(console):
    AlertRule.objects.all().delete()
    now = timezone.now()
    for severity, minutes in (("warning", 1), ("critical", 9), ("info", 2)):
        rule = make_rule(name=f"Rule {severity} {NASTY}", severity=severity)
        Alert.objects.create(rule=rule, value=1, series=NASTY, raised_at=now - minutes * MINUTE)
    pending, over = make_rule(name="Pending"), make_rule(name="Over")
    Alert.objects.create(rule=pending, value=1)
    Alert.objects.create(rule=over, value=1, raised_at=now, resolved_at=now)
    page = console.get(PAGE)
    rows = page.context["alerts"]["rows"]
    assert [row.rule.severity for row in rows] == ["critical", "warning", "info"]
    assert "3 alerts are open." in wrong(page)
    assert NASTY not in page.content.decode()
    assert "Pending" not in said(page)


def test_of_many_rows_the_first_are_shown_and_all_are_counted(console):
    rule = make_rule()
    Alert.objects.bulk_create(
        Alert(rule=rule, value=1, series=str(number), raised_at=timezone.now())
        for number in range(standing.MOST_ROWS + 3)
    )
    found = console.get(PAGE).context["alerts"]
    assert (len(found["rows"]), found["count"]) == (standing.MOST_ROWS, standing.MOST_ROWS + 3)


def test_the_newest_errors_that_nobody_saw_to(console):
    now = timezone.now()
    for number, state in enumerate((ErrorState.OPEN, ErrorState.DONE, ErrorState.REOPENED)):
        ErrorGroup.objects.create(
            fingerprint=str(number),
            kind=f"Error{number}{NASTY}",
            where="a.b",
            count=4,
            first_seen=now - HOUR,
            last_seen=now - number * MINUTE,
            state=state,
            done_at=now,
        )
    page = console.get(PAGE)
    assert [row.fingerprint for row in page.context["errors"]["rows"]] == ["0", "2"]
    assert NASTY not in page.content.decode()


def test_the_database_says_its_connections_where_it_has_some(console):
    found = console.get(PAGE).context["database"]
    if connection.vendor == "postgresql":
        assert found.name == "PostgreSQL"
        assert 1 <= found.active <= found.connections <= found.allowed
        assert 0 < found.share_used <= 1
    else:
        assert (found.name, found.connections, found.share_used) == ("SQLite", None, 0)
    assert re.fullmatch(r"\d+(\.\d+)+", found.version)


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_connections_of_other_roles_are_counted_and_what_they_do_is_said_to_be_hidden():
    with connection.cursor() as superuser, elsewhere(autocommit=False) as other:
        with other.cursor() as cursor:
            cursor.execute("SELECT 1")  # and is idle in its transaction from now on
        seen: Any = standing.database()
        assert seen.idle_in_transaction >= 1
        before = sessions(superuser)
        with as_a_plain_role():
            found: Any = standing.database()
        stayed = before & sessions(superuser)
    assert len(stayed) >= 2
    assert found.connections >= len(stayed) + 1, "those that it may not look at hold places too"
    assert found.hidden == found.connections - 1, "all but its own"
    assert (found.active, found.idle_in_transaction) == (1, 0)
    assert found.hidden > seen.hidden
    assert found.allowed == seen.allowed


def sessions(cursor):
    """All clients' connections to the server, as a superuser is told."""
    cursor.execute("SELECT pg_stat_clear_snapshot()")
    cursor.execute("SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend'")
    return {pid for (pid,) in cursor.fetchall()}


@pytest.mark.parametrize(("hidden", "is_told"), [(0, False), (5, True)])
def test_that_some_connections_are_hidden_is_told(console, monkeypatch, hidden, is_told):
    taken = standing.Database(
        name="P",
        version="17",
        connections=7,
        allowed=100,
        active=1,
        idle_in_transaction=1,
        hidden=hidden,
    )
    monkeypatch.setattr(standing, "database", lambda: taken)
    text = said(console.get(PAGE))
    assert "7 of 100 connections; 1 at work, 1 idle in a transaction" in text
    assert ("; 5 of other roles, which do not show what they do" in text) is is_told


@pytest.mark.postgresql
def test_a_database_in_memory_has_no_size():
    with on_sqlite():
        found = standing.database()
    assert (found.name, found.size, found.allowed) == ("SQLite", None, None)


def test_a_database_nearly_out_of_connections_is_told(console, monkeypatch):
    taken = standing.Database(
        name="P", version="17", connections=81, allowed=100, active=1, idle_in_transaction=2
    )
    monkeypatch.setattr(standing, "database", lambda: taken)
    page = console.get(PAGE)
    assert "81 of 100 connections; 1 at work, 2 idle in a transaction" in said(page)
    assert "The database is nearly out of connections." in wrong(page)


def test_a_database_in_a_file_says_how_large_it_is(console, monkeypatch):
    file = standing.Database(name="SQLite", version="3.1", size=3 * 1024**2)
    monkeypatch.setattr(standing, "database", lambda: file)
    assert "without connections. 3.0 MB" in said(console.get(PAGE)).replace("\xa0", " ")


def test_the_newest_proven_backup_is_shown_with_its_age_and_how_long_it_took(console):
    page = console.get(PAGE)
    assert "Newest proven backup None yet." in said(page)
    proven = Backup.objects.create(
        status="succeeded",
        started_at=timezone.now() - timedelta(hours=3),
        proven_at=timezone.now(),
        proof_seconds=12.34,
    )
    page = console.get(PAGE)
    assert f"{proven.identifier} 3 hours old; restoring and checking it took 12.3 s" in said(
        page
    ).replace("\xa0", " ")
    assert "There is no young proven backup." not in wrong(page)
    Backup.objects.update(started_at=timezone.now() - timedelta(hours=27))
    page = console.get(PAGE)
    assert "A younger one was due at" in said(page)
    assert "There is no young proven backup." in wrong(page)


def test_a_disk_that_is_nearly_full_is_told(console, settings):
    assert "The disk is nearly full." not in wrong(console.get(PAGE))
    settings.LEAST_FREE_DISK_MB = 10**9
    page = console.get(PAGE)
    assert "The disk is nearly full." in wrong(page)


def test_versions_of_what_it_stands_on(console, settings):
    settings.VERSION = "9.8.7"
    settings.REDIS_URL = ""
    names = dict(console.get(PAGE).context["versions"])
    assert names["Platform"] == "9.8.7"
    assert {"Python", "Django"} < set(names)
    assert "Redis" not in names
    settings.VERSION, settings.REDIS_URL = "", "redis://127.0.0.1:9"
    assert dict(standing.versions())["Redis"] == "not said yet"
    kept_health.newest().redis_version = "7.2"
    assert dict(standing.versions())["Redis"] == "7.2"


def test_the_queue_is_what_a_beat_found_and_nobody_is_asked(console):
    kept_queue.ask()
    assert "0 wait, the oldest for 0 s" in said(console.get(PAGE))
    assert wrong(console.get(PAGE)) == ["Health was not looked at lately."]


def test_a_queue_that_is_away_is_told_and_hides_nothing_else(console, settings):
    settings.TASK_ENGINE, settings.REDIS_URL = "redis", "redis://127.0.0.1:9"
    with pytest.raises(RedisError):
        kept_queue.ask()
    page = console.get(PAGE)
    assert page.status_code == 200
    assert "The queue of tasks cannot be reached." in wrong(page)
    assert "cannot be reached It is in Redis." in said(page)


# --- Charts ---------------------------------------------------------------------------------------
def sampled(*, minutes, draws, host="one"):
    """A machine that says every minute how often was drawn, so many more each time."""
    now = timezone.now()
    for minute in range(minutes, -1, -1):
        said_then = {Series("platform_draws_total"): (minutes - minute) * draws}
        samples.keep(said_then, host=host, now=now - minute * MINUTE)


def test_a_chart_is_drawn_with_a_text_and_a_table(console):
    sampled(minutes=50, draws=7)
    page = console.get(PAGE, {"range": "1h"})
    drawn = {one.name: one for _label, group in page.context["groups"] for one in group}
    chart = drawn["draws"]
    assert chart.rows[0][1] == {
        "last": "7",
        "least": "7",
        "most": "7",
        "mean": "7",
        "total": chart.rows[0][1]["total"],
    }
    assert chart.rows[1][1]["last"] == "-"
    assert chart.now.startswith("M")
    assert chart.before == ""
    content = page.content.decode()
    assert f'<path class="now" d="{chart.now}"/>' in content
    assert "this period: from 7 to 7, 7 on average, 7 at the end." in content
    assert 'aria-labelledby="chart-draws-title chart-draws-words"' in content
    # What was not sampled is named, and not drawn as nothing.
    assert "review_queue" not in drawn
    assert "Nothing was sampled of:" in said(page)
    assert "Receipts that wait for a decision" in page.context["unsaid"]


def test_about_a_dozen_measures_have_a_chart():
    assert set(charts.names()) == {
        "connections", "cpu", "draws", "errors", "exchanges", "memory", "points_issued",
        "points_spent", "queue_oldest", "request_seconds", "requests", "review_queue",
        "slow_requests", "sockets", "uploads",
    }  # fmt: skip


@pytest.mark.postgresql  # gauges are read in a thread, whose connection SQLite in memory keeps open
def test_what_charts_show_is_sampled():
    """A machine's own sample has the figures of every chart; no socket was ever open here."""
    watch.sample()
    kept = set(ChartSample.objects.get().figures)
    wanted = {name: {figure.name for figure in one.figures} for name, one in charts.items()}
    missing = {name for name, names in wanted.items() if not names <= kept}
    assert missing <= {"connections", "sockets"}


@pytest.mark.parametrize("name", PERIODS)
def test_each_period_is_shown(console, name):
    sampled(minutes=3, draws=2)
    page = console.get(PAGE, {"range": name})
    assert page.status_code == 200
    assert page.context["period"].name == name
    ends = page.context["marks"][-1]
    with translation.override("en"):
        today = date_format(timezone.localtime(page.context["now"]), "MONTH_DAY_FORMAT")
    assert re.fullmatch(r"\d\d:\d\d", ends) if name in {"1h", "1d"} else ends == today
    assert f'href="?range={name}#charts" aria-current="true"' in page.content.decode()
    assert not list(page.context["messages"])


@pytest.mark.parametrize("asked", ["2d", "", "1h ", "0", NASTY, "7d\x00"])
def test_a_period_that_is_none_falls_back_and_says_so(console, asked):
    page = console.get(PAGE, {"range": asked})
    assert page.status_code == 200
    assert page.context["period"].name == "1d"
    assert [str(message) for message in page.context["messages"]] == [
        "There is no such period. This is what there was in 1 day."
    ]
    assert NASTY not in page.content.decode()


def test_it_is_in_the_language_of_the_console(console):
    looked(database="")
    for language in ("en", "zh-hans"):
        page = console.get(PAGE, headers={"Accept-Language": language})
        assert page.status_code == 200
        assert page["Content-Language"] == language


# --- What it costs --------------------------------------------------------------------------------
# The session, who it is, their browser, and their rights; then processes, jobs, alerts, errors, and
# the samples of all charts, and backups: the newest, or when the platform began.
OF_WHO_LOOKS = 6
OF_THE_PAGE = 1 + 2 + 1 + 1 + 1 + 2


def test_the_statements_do_not_grow_with_what_there_is(console):
    def statements(**asked):
        with CaptureQueriesContext(connection) as captured:
            assert console.get(PAGE, asked).status_code == 200
        return len([one for one in captured if not one["sql"].startswith("SAVEPOINT")])

    few = statements()
    now = timezone.now()
    schedules.add_missing(now=now)
    for number in range(5):
        lives(host=f"machine {number}")
        Alert.objects.create(rule=make_rule(), value=1, raised_at=now)
        ErrorGroup.objects.create(
            fingerprint=str(number), kind="E", count=1, first_seen=now, last_seen=now
        )
        sampled(minutes=5, draws=1, host=f"machine {number}")
    assert {statements(range=name) for name in PERIODS} == {few}
    of_connections = 1 if connection.vendor == "postgresql" else 0
    assert few == OF_WHO_LOOKS + OF_THE_PAGE + of_connections


# --- Who may look ---------------------------------------------------------------------------------
def test_who_may_look(cast):
    allowed = {"staff", "auditor"}
    for name in ("customer", "cashier", "reviewer", "manager", "owner", "staff", "auditor"):
        answer = console_of(getattr(cast, name)).get(PAGE)
        assert (answer.status_code == 200) is (name in allowed), name
    assert console_of().get(PAGE)["Location"].startswith(reverse("admin:login"))


def test_whoever_may_not_see_alerts_errors_or_jobs_sees_none_here(cast):
    Group.objects.get(name=Role.AUDITOR).permissions.remove(
        *Permission.objects.filter(
            codename__in=["view_alert", "view_backup", "view_errorgroup", "view_schedule"]
        )
    )
    page = console_of(cast.auditor).get(PAGE)
    assert page.status_code == 200
    for section in ("alerts", "backups", "errors", "jobs", "queue"):
        assert page.context[section] is None
        assert f'id="{section}"' not in page.content.decode()


def test_nothing_is_sent_to_it(console):
    with refused_unchanged():
        assert console.post(PAGE, {"range": "1h"}).status_code == 405


def test_the_sidebar_leads_there(console):
    content = console.get(reverse("admin:index")).content.decode()
    assert PAGE in content
    assert reverse("admin:ops_processbeat_maintenance") in content


def test_it_is_open_in_maintenance_and_says_so(console, cast):
    maintenance.turn_on(author_id=cast.staff.pk)
    page = console.get(PAGE)
    assert page.status_code == 200
    assert "The platform is being maintained." in wrong(page)
