"""/metrics: who may read it, what it says of requests, and what a database that hangs leaves."""

import itertools
import math
import os
import subprocess
import sys
import threading
import time

import pytest
from django.conf import settings as given
from django.db import DatabaseError, connection
from prometheus_client.parser import text_string_to_metric_families

from ops import beats, measures
from ops.logs.counts import QUERY_SECONDS, REQUEST_SECONDS, REQUESTS
from ops.logs.lines import backlog
from ops.logs.queries import watch
from ops.measures import Counter, Gauge, Histogram, Label, ProcessGauge
from ops.metrics import (
    CPU_SECONDS,
    DATABASE_UP,
    PUSH_SECONDS,
    REDIS_SECONDS,
    REDIS_UP,
    STORAGE_UP,
)
from ops.realtime import hub
from ops.services import metric_files, metrics, processes
from ops.services.pulse import beats as registered

pytestmark = pytest.mark.django_db
STRANGER = {"REMOTE_ADDR": "203.0.113.9"}


@pytest.fixture(autouse=True)
def leave():
    yield
    metric_files.let_go()
    metrics.forget_gauges()


def scraped():
    """What Prometheus would understand: the value by name and labels."""
    return {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(metrics.render().decode())
        for sample in family.samples
    }


# --- Who may read it ------------------------------------------------------------------------------
def test_loopback_may_read_it(client, declared):
    response = client.get("/metrics")
    assert response.status_code == 200
    assert response["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert response["Cache-Control"] == "no-store"


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        ({}, 403),
        ({"Authorization": "Bearer secret"}, 200),
        ({"Authorization": "bearer  secret"}, 200),
        ({"Authorization": "Bearer secre"}, 403),
        ({"Authorization": "Bearer "}, 403),
        ({"Authorization": "Basic secret"}, 403),
        ({"Authorization": "Bearer géheim"}, 403),
    ],
    ids=str,
)
def test_a_stranger_needs_the_token(client, declared, settings, sent, status):
    settings.METRICS_TOKEN = "secret"
    response = client.get("/metrics", headers=sent, **STRANGER)
    assert response.status_code == status
    assert (response.content == b"") is (status == 403)


@pytest.mark.parametrize("sent", [{}, {"Authorization": "Bearer "}, {"Authorization": "Bearer x"}])
def test_without_a_token_no_stranger_may(client, declared, settings, sent):
    settings.METRICS_TOKEN = ""
    assert client.get("/metrics", headers=sent, **STRANGER).status_code == 403


def test_what_a_proxy_forwards_is_a_strangers(client, declared, settings):
    settings.METRICS_TOKEN = "secret"
    assert client.get("/metrics", headers={"X-Forwarded-For": "127.0.0.1"}).status_code == 403


# --- What it says ---------------------------------------------------------------------------------
def test_counters_histograms_and_gauges_as_prometheus_reads_them(declared):
    counter = Counter("platform_x_total", "X.", Label("kind", ("a",)))
    histogram = Histogram("platform_x_seconds", "X.", bounds=(0.1, 1.0))
    Counter("platform_nothing_total", "Nothing yet.")
    Gauge("platform_shared", "Shared.", read=lambda: 7)
    ProcessGauge("platform_least", "Least.", read=lambda: 3, merge=min)
    counter.add(2, "a")
    for seconds in (0.05, 0.5, 5):
        histogram.observe(seconds)
    assert scraped() == {
        ("platform_x_total", ("kind", "a")): 2,
        ("platform_x_seconds_bucket", ("le", "0.1")): 1,
        ("platform_x_seconds_bucket", ("le", "1.0")): 2,
        ("platform_x_seconds_bucket", ("le", "+Inf")): 3,
        ("platform_x_seconds_count",): 3,
        ("platform_x_seconds_sum",): 5.55,
        ("platform_nothing_total",): 0,
        ("platform_shared",): 7,
        ("platform_least",): 3,
        ("platform_unread_gauges",): 0,
    }
    assert {sample.name for sample in metrics.samples()} == {name for name, *_labels in scraped()}


def test_what_can_be_counted_is_there_before_it_is(declared):
    """Prometheus sees a rise from nothing to one only where it has seen the nothing."""
    kinds = ["a"]
    Counter("platform_x_total", "X.", Label("kind", ("a", "b")), Label("how", ("c",)))
    Counter("platform_y_total", "Y.", Label("kind", ("a",)), Label("job", most=3))
    Counter("platform_z_total", "Z.", Label("kind", lambda: kinds)).add(5, "a")
    Histogram("platform_x_seconds", "X.", Label("kind", ("a",)), bounds=(0.1,))
    kinds.append("b")
    assert scraped() == {
        ("platform_x_total", ("how", "c"), ("kind", "a")): 0,
        ("platform_x_total", ("how", "c"), ("kind", "b")): 0,
        ("platform_z_total", ("kind", "a")): 5,
        ("platform_z_total", ("kind", "b")): 0,
        ("platform_unread_gauges",): 0,
    }


def test_what_another_version_counted_does_not_break_it(declared):
    Counter("platform_x_total", "X.", Label("kind", ("a",)))
    Histogram("platform_x_seconds", "X.", bounds=(0.1,))
    metric_files.write(
        {
            "platform_x_total": {("a", "more"): 1, ("a",): 1},
            "platform_x_seconds": {(): [1, 2, 3, 4, 0.5]},
            "platform_gone_total": {(): 1},
        },
        {"platform_gone": {(): 1}},
    )
    metric_files.let_go()
    assert scraped() == {
        ("platform_x_total", ("kind", "a")): 1,
        ("platform_unread_gauges",): 0,
    }


# In a thread: SQLite in memory keeps a connection for each.
@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_all_measures_there_are_can_be_read(client):
    found = {name for name, *_labels in scraped()}
    for name in (
        "platform_review_queue", "platform_queue_tasks", "platform_queue_oldest_seconds",
        "platform_products_low_stock", "platform_disk_free_bytes", "platform_processes",
        "platform_process_memory_bytes",
    ):  # fmt: skip
        assert name in found


@pytest.mark.parametrize("fails", [True, False])
def test_a_gauge_that_fails_or_hangs_leaves_itself_out(declared, monkeypatch, fails):
    asked, released, join = threading.Event(), threading.Event(), threading.Thread.join

    def read():
        asked.set()
        if fails:
            raise ConnectionError("refused")
        released.wait(60)
        return 1

    def wait(thread, timeout=None):
        """It hangs when it is asked: nobody has to wait until the time for it is over."""
        if thread.name == "gauges" and timeout == metrics.TIME_LIMIT:
            assert asked.wait(60)
            timeout = 60 if fails else 0
        join(thread, timeout)

    monkeypatch.setattr(threading.Thread, "join", wait)
    Gauge("platform_first", "First.", read=lambda: 1)
    Gauge("platform_x", "X.", read=read)
    assert scraped() == {("platform_first",): 1, ("platform_unread_gauges",): 1}
    scraped()
    assert metrics.TIME_LIMIT < 10, "Prometheus waits no longer"
    assert len([one for one in threading.enumerate() if one.name == "gauges"]) <= 1
    released.set()
    for thread in threading.enumerate():
        if thread.name == "gauges":
            join(thread, 60)


def test_a_gauge_is_read_once_in_a_while(declared):
    numbers = itertools.count(1)
    Gauge("platform_x", "X.", read=lambda: next(numbers))
    assert scraped()["platform_x",] == 1
    assert scraped()["platform_x",] == 1
    metrics.forget_gauges()
    assert scraped()["platform_x",] == 2


def test_a_gauge_of_a_process_that_fails_leaves_itself_out(declared):
    ProcessGauge("platform_x", "X.", read=lambda: 1 // 0)
    ProcessGauge("platform_y", "Y.", read=lambda: 1)
    assert scraped() == {("platform_y",): 1, ("platform_unread_gauges",): 0}


def test_the_last_words_of_a_process_are_written_where_there_is_a_folder(declared, settings):
    Counter("platform_x_total", "X.").add()
    settings.METRICS_DIR = settings.DATA_DIR / "nowhere" / "metrics"
    metrics.write_last()
    assert not settings.METRICS_DIR.exists()
    settings.METRICS_DIR = settings.DATA_DIR / "metrics"
    metrics.write_last()
    assert metric_files.read().counted == {"platform_x_total": {(): 1}}


# --- Requests -------------------------------------------------------------------------------------
def requests_of(route):
    backlog.write()  # where requests are counted
    return {key[1:]: count for key, count in REQUESTS.series().items() if key[0] == route}


def test_a_request_is_counted_by_its_route_method_status_and_code(api):
    before = requests_of("api/shops")
    api.get("/api/shops")
    assert requests_of("api/shops")["GET", "200", "0"] == before.get(("GET", "200", "0"), 0) + 1
    refused = requests_of("api/auth/verify").get(("GET", "401", "1006"), 0)
    api.get("/api/auth/verify")
    assert requests_of("api/auth/verify")["GET", "401", "1006"] == refused + 1
    assert REQUEST_SECONDS.series()["api/shops", "GET"][-1] > 0


def test_no_path_is_a_route(api, client):
    secret = "13800138000"
    api.get(f"/api/nothing/{secret}")
    client.get(f"/{secret}")
    client.get(f"/files/{secret}")
    client.get("/static/nothing.css")
    client.generic("BREW", f"/{secret}")
    client.get("/api/shops", headers={"Host": f"{secret}.example"})
    backlog.write()
    for measure in (REQUESTS, REQUEST_SECONDS):
        assert not [key for key in measure.series() if any(secret in label for label in key)]
    assert ("none", "other") in {key[:2] for key in REQUESTS.series()}
    assert requests_of("files/<str:token>")["GET", "404", ""] >= 1


def test_a_failure_is_counted_as_one(api, settings):
    settings.ROOT_URLCONF = "ops.tests.probe_urls"
    before = requests_of("api/broken-answer").get(("GET", "500", "1000"), 0)
    assert api.get("/api/broken-answer").status_code == 500
    assert requests_of("api/broken-answer")["GET", "500", "1000"] == before + 1
    before = requests_of("api/broken").get(("GET", "500", "1000"), 0)
    assert api.get("/api/broken").status_code == 500
    assert requests_of("api/broken")["GET", "500", "1000"] == before + 1, "nor outside of a view"


# --- Statements -----------------------------------------------------------------------------------
def statements(verb):
    return sum(QUERY_SECONDS.series().get((verb,), [0, 0])[:-1])


def test_statements_are_timed_by_their_verb():
    before = statements("SELECT"), statements("other")
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
        cursor.execute("\n    SELECT 2")
        cursor.execute("WITH a AS (SELECT 1) SELECT * FROM a")
    assert (statements("SELECT"), statements("other")) == (before[0] + 2, before[1] + 1)


def test_a_block_that_watches_statements_takes_away_what_it_added():
    assert connection.execute_wrappers[0] is watch
    with connection.execute_wrapper(lambda execute, *statement: execute(*statement)):
        assert len(connection.execute_wrappers) == 2
    assert connection.execute_wrappers == [watch]


# --- Beats ----------------------------------------------------------------------------------------
def test_the_beats_of_the_platform_are_registered():
    assert {"metrics", "metrics of the gone", "heartbeat", "storage"} <= set(registered.names())


def test_a_heartbeat_says_whether_the_database_was_reached(monkeypatch):
    beats.live()
    assert DATABASE_UP.values() == {(): 1}
    assert CPU_SECONDS.series()

    def away():
        raise DatabaseError("away")

    monkeypatch.setattr(processes, "beat", away)
    with pytest.raises(DatabaseError):
        beats.live()
    assert DATABASE_UP.values() == {(): 0}


@pytest.mark.parametrize(
    ("gauge", "seconds"), [(DATABASE_UP, 10), (REDIS_UP, 10), (STORAGE_UP, 20)]
)
def test_what_hangs_is_away_after_so_long(gauge, seconds):
    assert gauge.within == seconds


def test_redis_is_asked_and_timed(monkeypatch):
    before = sum(REDIS_SECONDS.series().get((), [0, 0])[:-1])
    beats.ask_redis()
    assert REDIS_UP.values() == {(): 1}
    assert sum(REDIS_SECONDS.series()[()][:-1]) == before + 1

    def away(_key):
        raise ConnectionError("away")

    monkeypatch.setattr(beats, "cache", type("Away", (), {"get": staticmethod(away)}))
    with pytest.raises(ConnectionError):
        beats.ask_redis()
    assert REDIS_UP.values() == {(): 0}


# --- Pushes ---------------------------------------------------------------------------------------
def test_a_push_is_timed_from_its_commit():
    before = PUSH_SECONDS.series().get((), [0, 0.0])
    hub._observe(None)
    assert PUSH_SECONDS.series().get((), [0, 0.0]) == before, "an earlier version does not say"
    hub._observe(time.time() - 3)
    hub._observe(time.time() + 3)  # the clock of another machine is ahead
    after = PUSH_SECONDS.series()[()]
    assert sum(after[:-1]) == sum(before[:-1]) + 2
    assert math.isclose(after[-1] - before[-1], 3, abs_tol=0.5)


# --- All of them ----------------------------------------------------------------------------------
LABELS = {
    "action", "change", "code", "decision", "how", "job", "kind", "method", "model", "operation",
    "outcome", "part", "place", "provider", "purpose", "reason", "route", "source", "state",
    "statement", "status", "step", "storage", "way",
}  # fmt: skip
MOST_SERIES_OF_A_LABEL = 600


def test_labels_are_words_of_the_platform_and_bounded():
    """A person, a token or a text of somebody has no name here to be counted under."""
    for measure in measures.measures.values():
        for label in measure.labels:
            assert label.name in LABELS, measure
            assert len(label.values) + label.most <= MOST_SERIES_OF_A_LABEL, (measure, label.name)
            assert label.bounded("x" * 5) in ({"other"} if label.values else {"x" * 5, "other"})


def test_every_process_knows_those_of_every_app():
    """Also one that never comes to a service of theirs, as what evaluates rules."""
    program = (
        "import django; django.setup(); from ops.measures import measures; print(*measures.names())"
    )
    names = subprocess.run(
        [
            sys.executable,
            "-c",
            program,
        ],
        cwd=given.BASE_DIR,
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "config.settings"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    assert sorted(names) == measures.measures.names()
    assert "platform_draws_total" in names


def test_each_says_what_it_means():
    for measure in measures.measures.values():
        assert measure.meaning.endswith("."), measure
        assert measure.name.startswith("platform_")
