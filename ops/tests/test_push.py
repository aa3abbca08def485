"""Pushes leave after commit, in order, and never hurt what was committed."""

import asyncio
import threading
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import pytest
from channels.layers import get_channel_layer
from django.conf import settings as configured
from django.db import transaction

from ops.realtime import push
from ops.realtime.push import Event
from ops.registry import Registry
from ops.tests.layers import CONFIGURED, IN_MEMORY
from ops.tests.sockets import until

EVENT = Event(type="note", data={"n": 1}, owner_id=1)


def started_since(before):
    """The threads that were started to send from."""
    return [each for each in threading.enumerate() if each.name == "push" and each not in before]


@pytest.fixture
def sender():
    """The sender of a process without a hub; what it started ends with the test."""
    one: Any = push._sender
    one.loop, one.waiting, one.is_draining = None, [], False
    before = set(threading.enumerate())
    yield one
    for thread in started_since(before):
        asyncio.run_coroutine_threadsafe(get_channel_layer().flush(), one.loop).result(10)
        one.loop.call_soon_threadsafe(one.loop.stop)
        thread.join(10)
        one.loop.close()
    one.loop, one.waiting, one.is_draining = None, [], False


def test_in_memory_a_process_without_a_hub_reaches_nobody(settings, sender):
    settings.CHANNEL_LAYERS = IN_MEMORY
    push.publish(EVENT)
    push.flush()
    assert sender.waiting == []
    assert sender.loop is None


@pytest.mark.postgresql
async def test_on_redis_a_process_without_a_hub_reaches_the_others(settings, sender):
    assert configured.REDIS_URL
    settings.CHANNEL_LAYERS = CONFIGURED
    layer = get_channel_layer()
    channel = await layer.new_channel()
    await layer.group_add(push.GROUP, channel)
    before = set(threading.enumerate())

    for _ in range(3):
        await asyncio.to_thread(push.publish, EVENT)
    await asyncio.to_thread(push.flush)
    for _ in range(3):
        message = await asyncio.wait_for(layer.receive(channel), 5)
        assert Event(**message["payload"]) == EVENT
    await asyncio.to_thread(push.publish, EVENT)
    await asyncio.wait_for(layer.receive(channel), 5)
    assert len(started_since(before)) == 1
    await layer.flush()


async def test_while_the_layer_takes_nothing_only_so_much_is_kept(settings, sender, monkeypatch):
    settings.CHANNEL_LAYERS = IN_MEMORY
    monkeypatch.setattr(push, "MOST_WAITING", 5)
    sender.use(asyncio.get_running_loop())
    for _ in range(9):  # the loop has no turn meanwhile
        push.publish(EVENT)
    assert len(sender.waiting) == 5
    await until(lambda: not sender.waiting and not sender.is_draining)
    push.publish(EVENT)
    assert len(sender.waiting) == 1
    await until(lambda: not sender.is_draining)


async def test_a_new_loop_takes_over_from_one_that_is_closed(settings, sender):
    settings.CHANNEL_LAYERS = IN_MEMORY
    over = asyncio.new_event_loop()
    over.close()
    sender.use(over)
    push.publish(EVENT)
    assert sender.waiting == []
    sender.use(asyncio.get_running_loop())
    push.publish(EVENT)
    assert len(sender.waiting) == 1
    await until(lambda: not sender.is_draining)


# --- After commit -------------------------------------------------------------------------------
@pytest.fixture
def put(monkeypatch, sender):
    """What is handed to the sender, in place of a loop that would send it."""
    messages: list[dict[str, Any]] = []
    monkeypatch.setattr(sender, "put", messages.append)
    monkeypatch.setattr(push, "_sender", sender)
    return messages


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_an_event_leaves_after_the_commit_and_not_before(put):
    with transaction.atomic():
        push.publish_on_commit(EVENT)
        push.close_on_commit(code=4403, session_id=5)
        assert put == []
    assert [message["type"] for message in put] == ["push.event", "push.close"]
    assert Event(**put[0]["payload"]) == EVENT
    assert put[1]["payload"] == {"code": 4403, "session_id": 5, "owner_id": None}


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_a_rollback_sends_nothing(put):
    with suppress(ZeroDivisionError), transaction.atomic():
        push.publish_on_commit(EVENT)
        raise ZeroDivisionError
    with transaction.atomic():
        with suppress(ZeroDivisionError), transaction.atomic():
            push.publish_on_commit(EVENT)
            raise ZeroDivisionError
        push.publish_on_commit(Event(type="kept", data={}))
    assert [message["payload"]["type"] for message in put] == ["kept"]


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_a_push_that_fails_fails_nothing_else(monkeypatch):
    def fail(message):
        raise ConnectionError

    monkeypatch.setattr(push._sender, "put", fail)
    done = []
    with transaction.atomic():
        push.publish_on_commit(EVENT)
        transaction.on_commit(lambda: done.append(1))
    assert done == [1]


# --- Resume -------------------------------------------------------------------------------------
def test_what_apps_registered_is_replayed(monkeypatch):
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    monkeypatch.setattr(push, "replays", Registry())
    assert push.replay_since(1, moment) == []
    push.replays.register("one", lambda owner_id, since: [Event("a", {"o": owner_id, "s": since})])
    push.replays.register("other", lambda owner_id, since: [Event("b", {}), Event("c", {})])
    events = push.replay_since(1, moment)
    assert [event.type for event in events] == ["a", "b", "c"]
    assert events[0].data == {"o": 1, "s": moment}


def test_times_are_written_with_the_offset_of_the_shop():
    assert push.timestamp(datetime(2026, 1, 1, 0, 0, 5, tzinfo=UTC)) == "2026-01-01T08:00:05+08:00"
