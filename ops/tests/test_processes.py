"""Each process says that it lives, and rows of those that do not are not kept."""

import os
from datetime import timedelta

import pytest
from django.utils import timezone

from ops import life_signs
from ops.models import ProcessBeat
from ops.services import processes

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("nothing_seen")]


def test_a_process_is_one_row_that_moves(django_assert_num_queries, settings, monkeypatch):
    settings.VERSION = "1.2.3"
    monkeypatch.setattr(life_signs, "_kind", ["web"])
    processes.beat()
    first = ProcessBeat.objects.get()
    assert (first.kind, first.pid, first.version) == ("web", os.getpid(), "1.2.3")
    assert first.memory > 10_000_000
    assert first.cpu_seconds > 0
    assert (first.worker_seen_at, first.scheduler_seen_at) == (None, None)

    life_signs.note("worker")
    with django_assert_num_queries(1):
        processes.beat()

    second = ProcessBeat.objects.get()
    assert second.beat_at > first.beat_at
    assert second.started_at == first.started_at
    assert second.worker_seen_at == life_signs.seen_at("worker")
    assert second.scheduler_seen_at is None


def test_the_newest_of_all_machines_counts():
    assert processes.last_seen("worker") is None
    life_signs.note("worker")
    processes.beat()
    assert processes.last_seen("worker") == life_signs.seen_at("worker")
    assert processes.last_seen("scheduler") is None


def test_those_that_are_gone_are_forgotten_after_a_day():
    now = timezone.now()
    processes.beat()
    ProcessBeat.objects.create(
        name="gone",
        pid=1,
        memory=1,
        cpu_seconds=1,
        started_at=now,
        beat_at=now - timedelta(days=1),
    )
    assert processes.forget_old(now=now) == 1
    assert ProcessBeat.objects.get().pid == os.getpid()
