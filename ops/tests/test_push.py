"""Pushes leave after commit, in order, and never hurt what was committed."""

import asyncio
import threading
from contextlib import suppress
from datetime import UTC, datetime

import pytest
from channels.exceptions import InvalidChannelLayerError
from channels.layers import get_channel_layer
from django.conf import settings as configured
from django.db import transaction

from ops.realtime import push
from ops.realtime.push import Event
from ops.registry import Registry
from ops.tests.layers import CONFIGURED, HOLDING, IN_MEMORY

EVENT = Event(type="note", data={"n": 1}, owner_id=1)


def numbered(number):
    return Event(type="note", data={"n": number}, owner_id=1)


def started_since(before):
    """The threads that were started to send from."""
    return [each for each in threading.enumerate() if each.name == "push" and each not in before]


@pytest.fixture
def without_hub(monkeypatch):
    """A process whose loop is over, as one that never had any; what it starts ends here."""
    new_event_loop, loops = asyncio.new_event_loop, []

    def noted():
        loops.append(new_event_loop())
        return loops[-1]

    over = new_event_loop()
    over.close()
    push.use_loop(over)
    monkeypatch.setattr(asyncio, "new_event_loop", noted)
    before = set(threading.enumerate())
    yield
    threads = started_since(before)
    for loop in [loop for loop in loops if loop.is_running()] if threads else []:
        asyncio.run_coroutine_threadsafe(get_channel_layer().flush(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
    for thread in threads:
        thread.join(10)
        assert not thread.is_alive()
    for loop in loops:
        if not loop.is_running():
            loop.close()
    push.use_loop(over)


async def subscribed():
    """A reader of what reaches the hubs: each call waits for the next event."""
    layer = get_channel_layer()
    channel = await layer.new_channel()
    await layer.group_add(push.GROUP, channel)

    async def next_event():
        message = await asyncio.wait_for(layer.receive(channel), 5)
        assert message["type"] == "push.event"
        return Event(**message["payload"])

    return next_event


async def test_in_memory_a_process_without_a_hub_reaches_nobody(settings, without_hub):
    settings.CHANNEL_LAYERS = IN_MEMORY
    next_event = await subscribed()
    before = set(threading.enumerate())
    push.publish(EVENT)
    push.flush()
    assert started_since(before) == []
    push.use_loop(asyncio.get_running_loop())
    push.publish(numbered(2))
    assert await next_event() == numbered(2)  # nothing was kept for later


@pytest.mark.postgresql
async def test_on_redis_a_process_without_a_hub_reaches_the_others(settings, without_hub):
    assert configured.REDIS_URL
    settings.CHANNEL_LAYERS = CONFIGURED
    next_event = await subscribed()
    before = set(threading.enumerate())

    for _ in range(3):
        await asyncio.to_thread(push.publish, EVENT)
    await asyncio.to_thread(push.flush)
    for _ in range(3):
        assert await next_event() == EVENT
    await asyncio.to_thread(push.publish, EVENT)
    assert await next_event() == EVENT
    assert len(started_since(before)) == 1
    await get_channel_layer().flush()


async def test_while_the_layer_takes_nothing_only_so_much_is_kept(
    settings, without_hub, monkeypatch, caplog
):
    settings.CHANNEL_LAYERS = IN_MEMORY
    monkeypatch.setattr(push, "MOST_WAITING", 5)
    next_event = await subscribed()
    push.use_loop(asyncio.get_running_loop())
    for number in range(9):  # the loop has no turn meanwhile
        push.publish(numbered(number))
    assert [await next_event() for _ in range(5)] == [numbered(number) for number in range(5)]
    for number in (9, 10):
        push.publish(numbered(number))
        assert await next_event() == numbered(number)
    assert caplog.text.count("5 pushes are waiting: more are dropped") == 1
    assert caplog.text.count("4 pushes were dropped") == 1


async def test_a_new_loop_takes_over_from_one_that_is_closed(settings, without_hub):
    settings.CHANNEL_LAYERS = IN_MEMORY
    next_event = await subscribed()
    push.publish(numbered(1))
    push.use_loop(asyncio.get_running_loop())
    push.publish(numbered(2))
    assert await next_event() == numbered(2)


# --- In order -----------------------------------------------------------------------------------
@pytest.fixture
async def held_up(settings, without_hub):
    """The layer, while the first of the pushes is on its way and takes its time."""
    settings.CHANNEL_LAYERS = HOLDING
    push.use_loop(asyncio.get_running_loop())
    push.publish(numbered(1))
    layer = get_channel_layer()
    await layer.was_asked.wait()
    return layer


async def let_the_loop_turn():
    for _turn in range(10):
        await asyncio.sleep(0)


async def test_whoever_flushes_lets_no_push_overtake_another(held_up):
    next_event = await subscribed()
    with suppress(TimeoutError):
        await asyncio.to_thread(push.flush, 0.1)
    push.publish(numbered(2))
    await let_the_loop_turn()
    held_up.may_send.set()
    assert [await next_event() for _ in range(2)] == [numbered(1), numbered(2)]


async def test_flush_returns_when_what_is_on_its_way_is_sent(held_up):
    next_event = await subscribed()
    with pytest.raises(TimeoutError):
        await asyncio.to_thread(push.flush, 0.1)
    flushing = asyncio.create_task(asyncio.to_thread(push.flush))
    held_up.may_send.set()
    await flushing
    assert await next_event() == numbered(1)


async def test_a_new_loop_lets_no_push_overtake_what_the_old_one_sends(held_up):
    next_event = await subscribed()
    new_loop = asyncio.new_event_loop()
    thread = threading.Thread(target=new_loop.run_forever)
    thread.start()
    push.use_loop(new_loop)
    push.publish(numbered(2))
    # Whatever the new loop was given it has begun by now.
    await asyncio.to_thread(asyncio.run_coroutine_threadsafe(let_the_loop_turn(), new_loop).result)
    held_up.may_send.set()
    assert [await next_event() for _ in range(2)] == [numbered(1), numbered(2)]
    new_loop.call_soon_threadsafe(new_loop.stop)
    thread.join(10)


# --- After commit -------------------------------------------------------------------------------
@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_an_event_leaves_after_the_commit_and_not_before(pushes):
    with transaction.atomic():
        push.publish_on_commit(EVENT)
        push.close_on_commit(code=4403, session_id=5)
        assert pushes.take(0) == []
    push.flush()
    first, second = (pushes.run(pushes.layer.receive(pushes.channel)) for _ in range(2))
    assert (first["type"], Event(**first["payload"])) == ("push.event", EVENT)
    assert second["type"] == "push.close"
    assert second["payload"] == {"code": 4403, "session_id": 5, "owner_id": None}
    assert pushes.take(0) == []


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_a_rollback_sends_nothing(pushes):
    with suppress(ZeroDivisionError), transaction.atomic():
        push.publish_on_commit(EVENT)
        raise ZeroDivisionError
    with transaction.atomic():
        with suppress(ZeroDivisionError), transaction.atomic():
            push.publish_on_commit(EVENT)
            raise ZeroDivisionError
        push.publish_on_commit(Event(type="kept", data={}))
    (kept,) = pushes.take(1)
    assert kept["type"] == "kept"


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_a_push_that_fails_fails_nothing_else(settings, without_hub, caplog):
    settings.CHANNEL_LAYERS = {"default": {"BACKEND": "nowhere.Layer"}}
    with pytest.raises(InvalidChannelLayerError):
        push.publish(EVENT)
    done = []
    with transaction.atomic():
        push.publish_on_commit(EVENT)
        transaction.on_commit(lambda: done.append(1))
    assert done == [1]
    assert "nowhere.Layer" in caplog.text


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
