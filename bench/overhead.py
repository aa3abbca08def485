"""What it costs to count: the CPU of requests with all of it on, beside the same with it off.

    python -m bench.overhead [--requests 12000] [--draws 3000] [--idle 30]

In this process, through the whole of Django by its WSGI handler, on a PostgreSQL and a Redis of
its own. On and off take turns, request by request in an order of chance, and what is compared is
the lower quartile: a machine that is busy elsewhere slows all of them. Off is measured twice, so
that it can be seen what chance alone comes to. On means the middleware, the timing of statements,
every counter and the lines of the log; off means none of them. What is counted and written later,
many at a time, is measured at its own time and added. What the beats of a process take, and the
evaluation of the alert rules, does not depend on its requests: it is measured by itself, as a part
of one processor, and added.
The goals: an empty endpoint 5 % more CPU, a draw 2 %.
"""

import argparse
import io
import logging
import os
import random
import re
import statistics
import sys
import tempfile
import time
import timeit
from contextlib import contextmanager, nullcontext
from functools import partial
from typing import Any
from uuid import uuid4

from tests.servers import running_servers

GOALS = {"an empty endpoint": 5.0, "a draw": 2.0}  # percent of CPU
SECOND = 50  # requests between two rounds of the beat that counts statements
RULES_EVERY = 5  # seconds between two evaluations of the alert rules
WARM_UP = 50  # requests of each kind that are not measured
OBSERVES = re.compile("measuring|request_log|observing")  # the middleware that is off


def main(arguments):
    parser = argparse.ArgumentParser(prog="python -m bench.overhead")
    parser.add_argument("--requests", type=int, default=12_000, help="to the empty endpoint")
    parser.add_argument("--draws", type=int, default=3_000)
    parser.add_argument("--idle", type=float, default=30, help="seconds of beats alone")
    options = parser.parse_args(arguments)
    with running_servers(durable=False) as servers, tempfile.TemporaryDirectory() as folder:
        os.environ.update(servers.environment)
        os.environ.update(
            DATA_DIR=folder,
            DEBUG="1",
            DJANGO_SETTINGS_MODULE="config.settings",
            REQUESTS_PER_PERSON="100000000/min",
            LOG_LEVEL="INFO",
            LOG_DIR=f"{folder}/logs",
        )
        import django

        django.setup()
        from django.conf import settings
        from django.core.management import call_command

        settings.DEBUG = False  # what it keeps of each statement is no part of production
        settings.ALLOWED_HOSTS = ["testserver"]
        settings.SECURE_SSL_REDIRECT = False
        call_command("migrate", interactive=False, verbosity=0)
        settings.ROOT_URLCONF = "bench.empty_urls"
        write_lines_as_in_production()
        is_within = measure(requests=options.requests, draws=options.draws, idle=options.idle)
    return 0 if is_within else 1


# --- On and off -----------------------------------------------------------------------------------
@contextmanager
def nothing_counted():
    """Counters, histograms and the timing of statements as if they were not there."""
    from django.db import connection, transaction

    from ops import measures
    from ops.logs import queries

    # Callbacks after commit are part of the cost: those that only count are left out.
    real = transaction.on_commit
    names = ("_count", "add", "observe")

    def on_commit(function, *arguments, **options):
        inner = getattr(function, "func", function)
        if getattr(inner, "__name__", "") not in names:
            real(function, *arguments, **options)

    saved = {
        (owner, name): owner.__dict__[name]
        for owner, name in (
            (measures.Counter, "add"),
            (measures.Counter, "add_on_commit"),
            (measures.Histogram, "observe"),
        )
    }
    for owner, name in saved:
        setattr(owner, name, lambda *_arguments: None)
    transaction.on_commit = on_commit  # type: ignore[assignment]
    connection.ensure_connection()
    connection.execute_wrappers.remove(queries.watch)
    try:
        yield
    finally:
        for (owner, name), value in saved.items():
            setattr(owner, name, value)
        transaction.on_commit = real
        connection.execute_wrappers.insert(0, queries.watch)


def handlers():
    """The WSGI handler as it is, and one without the middleware that measures."""
    from django.conf import settings
    from django.test import override_settings

    from config.handlers import HttpOnWSGI

    on = HttpOnWSGI()
    without = [name for name in settings.MIDDLEWARE if not OBSERVES.search(name)]
    assert len(without) < len(settings.MIDDLEWARE)
    with override_settings(MIDDLEWARE=without):
        off = HttpOnWSGI()
    return on, off


def write_lines_as_in_production():
    """JSON on the console, as what collects a container's output reads it, and into the files."""
    from ops.logs import lines

    for handler in logging.getLogger(lines.REQUESTS).handlers:
        if isinstance(handler, lines.Console):
            handler.setStream(open(os.devnull, "w"))  # noqa: SIM115  for as long as it runs
            handler.setFormatter(lines.JsonFormatter())
    logging.getLogger().setLevel("ERROR")  # of the log, what a request leaves
    logging.getLogger(lines.REQUESTS).setLevel("INFO")
    # A request writes none of them: they are measured when a beat would write them.
    lines.WRITE_EVERY = lines.MOST_WAITING = 1_000_000_000


# --- Measuring ------------------------------------------------------------------------------------
def measure(*, requests, draws, idle):
    from django.core import signals
    from django.db import close_old_connections

    from accounts.tests.factories import make_sign_in
    from lottery.tests.factories import make_wheel, points_prize
    from tests.people import make_person

    # One connection for all: what Django does between requests is not what is measured here.
    signals.request_started.disconnect(close_old_connections)
    signals.request_finished.disconnect(close_old_connections)
    say_prices()
    person = make_person(points=1_000_000_000)
    token = make_sign_in(person=person).pair.access_token
    wheel = make_wheel(points_prize(probability=1), daily_limit=None)
    body = b'{"wheel_id": %d, "count": 1}' % wheel.pk
    on, off = handlers()
    beating, evaluating = share_of_beats(idle), share_of_rules()
    print(f"beats: {beating:.2f} % of one processor; alert rules: {evaluating:.2f} %")
    is_within = True
    for name, ask, count in (
        ("an empty endpoint", lambda to: send(to, "GET", "/api/empty", token=token), requests),
        ("a draw", lambda to: send(to, "POST", "/api/lottery/draw", token=token, body=body), draws),
    ):
        added, chance, seconds = compare(ask, on=on, off=off, count=count)
        added += beating + evaluating
        is_good = added <= GOALS[name]
        is_within = is_within and is_good
        print(
            f"{name}: {seconds * 1e6:.0f} µs of CPU without, {added:+.1f} % with all of it"
            f" ± {chance:.1f}"
            f" (goal {GOALS[name]:.0f} %){'' if is_good else '  MISSED'}"
        )
    return is_within


def compare(ask, *, on, off, count):
    """By how many percent the CPU time rises, by how many chance alone moves it, and what it is."""
    ways: dict[str, tuple[Any, Any]] = {
        "on": (nullcontext, on),
        "off": (nothing_counted, off),
        "off again": (nothing_counted, off),
    }
    from ops import measures
    from ops.logs.lines import backlog

    def later():
        measures.counted()
        backlog.write()

    late = []  # what beats count and write, of a second together
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(count // len(ways) + WARM_UP):
        for name in random.sample(sorted(ways), len(ways)):
            around, handler = ways[name]
            with around():
                ask(handler)  # whatever was turned on or off is not what the next one finds warm
                seconds = cpu_time(partial(ask, handler))
            if number >= WARM_UP:
                taken[name].append(seconds)
        if number % SECOND == 0:
            late.append(cpu_time(later) / SECOND / 2)  # each of them asks twice
    seconds = {name: statistics.quantiles(each, n=4)[0] for name, each in taken.items()}
    without = (seconds["off"] + seconds["off again"]) / 2
    chance = abs(seconds["off"] - seconds["off again"]) / without * 100
    added = seconds["on"] + statistics.quantiles(late[1:], n=4)[0] - without
    return added / without * 100, chance, without


def cpu_time(act):
    """The CPU time that this thread takes for it."""
    begun = time.thread_time()
    act()
    return time.thread_time() - begun


def share_of_beats(seconds):
    """How many percent of one processor the beats of a process take."""
    from ops import life_signs
    from ops.services.pulse import Pulse

    life_signs.set_kind("serve")  # what does the work of all kinds
    running = Pulse()
    running.start()
    time.sleep(3)  # connections are made by then
    cpu, begun = time.process_time(), time.monotonic()
    time.sleep(seconds)
    share = (time.process_time() - cpu) / (time.monotonic() - begun)
    running.stop()
    return share * 100


def share_of_rules():
    """How many percent of one processor it takes to compare all alert rules when they are due."""
    from django.utils import timezone

    from ops.monitoring.evaluation import evaluate

    evaluate(now=timezone.now())
    seconds = statistics.median(
        cpu_time(lambda: evaluate(now=timezone.now())) for _time in range(10)
    )
    return seconds / RULES_EVERY * 100


def send(handler, method, path, *, token, body=b""):
    answered = []
    environ = {
        "REQUEST_METHOD": method,
        "PATH_INFO": path,
        "QUERY_STRING": "",
        "SERVER_NAME": "testserver",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "127.0.0.1",
        "HTTP_HOST": "testserver",
        "HTTP_AUTHORIZATION": f"Bearer {token}",
        "HTTP_IDEMPOTENCY_KEY": uuid4().hex,
        "CONTENT_TYPE": "application/json",
        "CONTENT_LENGTH": str(len(body)),
        "wsgi.input": io.BytesIO(body),
        "wsgi.url_scheme": "http",
        "wsgi.errors": sys.stderr,
        "wsgi.version": (1, 0),
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
    }
    response = handler(environ, lambda status, headers: answered.append(status))
    content = b"".join(response)
    response.close()
    assert answered == ["200 OK"], (answered, content[:300])


def say_prices():
    """What one count and one observation cost, and one round of writing all of it down."""
    from ops.logs.counts import QUERY_SECONDS, REQUESTS
    from ops.services import metrics

    labels = ("api/favorites", "GET", "200", "0")
    for name, act in (
        ("a count", lambda: REQUESTS.add(1, *labels)),
        ("an observation", lambda: QUERY_SECONDS.observe(0.001, "SELECT")),
    ):
        print(f"{name}: {min(timeit.repeat(act, number=100_000, repeat=5)) * 10_000:.0f} ns")
    for number in range(400):
        REQUESTS.add(1, f"route/{number}", "GET", "200", "0")
    print(f"writing 400 series: {min(timeit.repeat(metrics.write, number=20)) / 20 * 1e3:.2f} ms")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
