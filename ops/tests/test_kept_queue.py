"""How the queue stands is asked once, for a moment, and beside the pages."""

import os
import socket
import threading
import time
from contextlib import contextmanager
from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as RedisHangs

from ops import life_signs
from ops.models import Maintenance
from ops.monitoring import kept_queue
from ops.monitoring.metrics import QUEUE_FAILURES, QUEUE_OLDEST, QUEUE_TASKS
from ops.services import queue, redis_queue
from ops.services.pulse import beats
from tests.console import console_of

pytestmark = pytest.mark.django_db
# Less than one look at a Redis that is waited for as a worker waits for it.
PATIENCE = redis_queue.ANSWER_SECONDS - 1


class Hanging:
    """Takes connections, counts them, and never says a word."""

    def __init__(self):
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.taken = []

    @property
    def address(self):
        return f"redis://127.0.0.1:{self.listening.getsockname()[1]}/0"

    def take(self):
        while True:
            try:
                self.taken.append(self.listening.accept()[0])
            except OSError:
                return


@contextmanager
def hanging():
    one = Hanging()
    thread = threading.Thread(target=one.take, daemon=True)
    thread.start()
    try:
        yield one
    finally:
        one.listening.shutdown(socket.SHUT_RDWR)
        one.listening.close()
        thread.join()
        for connection in one.taken:
            connection.close()


@pytest.fixture
def hangs(settings):
    with hanging() as one:
        settings.TASK_ENGINE, settings.REDIS_URL = "redis", one.address
        yield one


def seconds_of(act):
    begun = time.monotonic()
    act()
    return time.monotonic() - begun


# --- A Redis that hangs ---------------------------------------------------------------------------
@pytest.mark.parametrize(
    "ask", [queue.waiting, queue.failures, lambda: queue.under_way(in_a_hurry=True)]
)
def test_one_that_hangs_is_not_waited_for(hangs, ask):
    def try_it():
        with pytest.raises(RedisHangs):
            ask()

    assert seconds_of(try_it) < PATIENCE
    assert len(hangs.taken) == 1


def test_three_gauges_ask_it_once(hangs, monkeypatch):
    monkeypatch.setattr(kept_queue, "ONE_ROUND", 3600)  # however busy the machine is

    def read():
        for gauge in (QUEUE_TASKS, QUEUE_OLDEST, QUEUE_FAILURES):
            with pytest.raises(RedisHangs):
                gauge.values()

    assert seconds_of(read) < PATIENCE
    assert len(hangs.taken) == 1


def test_neither_page_waits_for_it(hangs, cast):
    Maintenance.objects.create(is_on=True)
    console = console_of(cast.staff)
    with pytest.raises(RedisHangs):
        kept_queue.ask()
    asked = len(hangs.taken)

    status = reverse("admin:ops_processbeat_status")
    assert console.get(status, headers={"Accept-Language": "en"}).status_code == 200
    assert console.get(reverse("admin:ops_schedule_changelist")).status_code == 200
    assert len(hangs.taken) == asked

    page = reverse("admin:ops_processbeat_maintenance")
    answers = []
    assert seconds_of(lambda: answers.append(console.get(page))) < PATIENCE
    assert answers[0].status_code == 200
    assert answers[0].context["in_hand"].queue_problem == "TimeoutError"
    assert len(hangs.taken) == asked + 1


# --- What is kept ---------------------------------------------------------------------------------
def test_before_the_first_question_nothing_is_known():
    assert not kept_queue.has_asked()
    assert kept_queue.newest() is None


def test_an_answer_is_kept_until_it_is_too_old():
    standing = kept_queue.ask()
    assert kept_queue.newest() == standing
    kept_queue._kept.answer = kept_queue.Standing(
        looked_at=timezone.now() - kept_queue.TOO_OLD - timedelta(seconds=1),
        waiting=standing.waiting,
        failures=standing.failures,
    )
    assert kept_queue.newest() is None
    assert kept_queue.has_asked()


def test_who_asks_in_the_same_round_is_told_the_same():
    first = kept_queue.asked_once()
    asked_at = kept_queue._kept.asked_at
    assert kept_queue.asked_once(clock=lambda: asked_at + kept_queue.ONE_ROUND) is first
    again = kept_queue.asked_once(clock=lambda: asked_at + kept_queue.ONE_ROUND + 0.1)
    assert again is not first


def test_gauges_say_what_the_queue_says():
    assert QUEUE_TASKS.values() == {(): 0}
    assert QUEUE_OLDEST.values() == {(): 0}
    assert QUEUE_FAILURES.values() == {("failed",): 0, ("lost",): 0}


def test_one_that_is_away_is_said_to_be_so_until_it_answers(settings):
    settings.TASK_ENGINE, settings.REDIS_URL = "redis", "redis://127.0.0.1:1/0"
    with pytest.raises(RedisError):
        kept_queue.ask()
    assert kept_queue.has_asked()
    assert kept_queue.newest() is None
    settings.TASK_ENGINE = "database"
    kept_queue.ask()
    assert kept_queue.newest() is not None


def test_processes_that_show_pages_look(monkeypatch):
    monkeypatch.setattr(life_signs, "_kind", ["sockets"])
    look = beats["queue of tasks"].act
    look()
    assert not kept_queue.has_asked()
    life_signs.set_kind("web")
    look()
    assert kept_queue.has_asked()


def test_a_forked_process_knows_nothing():
    kept_queue.ask()
    child = os.fork()
    if child == 0:
        os._exit(int(kept_queue.has_asked()))
    _pid, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
