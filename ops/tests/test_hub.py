"""The hub of a process: who hears what, in which order, and what it survives."""

import asyncio
import logging

import pytest
from channels.layers import get_channel_layer

from ops.realtime import hub, push
from ops.realtime.push import Event
from ops.registry import Registry
from ops.tests.layers import FLAKY, IN_MEMORY, LAYERS
from ops.tests.sockets import (
    FakeServer,
    NotingSocket,
    end_of_the_process,
    hand_to_hub,
    until,
)


@pytest.fixture(params=LAYERS)
async def here(request, settings):
    """The hub of this test's loop, on each layer."""
    settings.CHANNEL_LAYERS = request.param
    yield hub.current()
    await end_of_the_process()


@pytest.fixture
async def in_memory(settings):
    settings.CHANNEL_LAYERS = IN_MEMORY
    yield hub.current()
    await end_of_the_process()


async def joined(*sockets):
    for socket in sockets:
        await hub.current().join(socket)
        hub.current().count(socket)
    return sockets


def note(number, owner_id=None, **fields):
    return Event(type="note", data={"number": number}, owner_id=owner_id, **fields)


def numbers(socket):
    return [event.data["number"] for event in socket.events]


async def publish(*events):
    """As a request does it: from a thread that knows nothing of the loop."""

    def send():
        for event in events:
            push.publish(event)

    await asyncio.to_thread(send)


# --- Who hears what -----------------------------------------------------------------------------
async def test_what_concerns_a_person_reaches_all_their_sockets_and_nobody_elses(here):
    phone, tablet, other = await joined(NotingSocket(1), NotingSocket(1), NotingSocket(2))
    await publish(note(1, owner_id=1), note(2, owner_id=3), note(3, owner_id=2))
    await until(lambda: numbers(other))
    assert (numbers(phone), numbers(tablet), numbers(other)) == ([1], [1], [3])
    assert phone.texts == ['{"type":"note","data":{"number":1}}']


async def test_messages_keep_the_order_in_which_they_were_sent(here):
    (socket,) = await joined(NotingSocket(1))
    await publish(*(note(number, owner_id=1) for number in range(300)))
    await until(lambda: len(socket.events) == 300)
    assert numbers(socket) == list(range(300))


async def test_what_concerns_everybody_reaches_everybody(here):
    sockets = await joined(*(NotingSocket(owner) for owner in range(1, 451)))
    await publish(note(1), note(2))
    await until(lambda: all(len(socket.events) == 2 for socket in sockets))
    assert all(numbers(socket) == [1, 2] for socket in sockets)


async def test_who_has_left_hears_nothing(here):
    gone, still_there = await joined(NotingSocket(1), NotingSocket(1))
    here.leave(gone)
    here.leave(gone)
    await publish(note(1, owner_id=1))
    await until(lambda: still_there.events)
    assert gone.events == []
    assert here.sockets == [still_there]
    here.leave(still_there)
    assert dict(here.by_owner) == {}


async def test_everybody_is_handed_the_same_text(in_memory):
    """It is written once, however many hear it."""
    mine, tablet, other = await joined(NotingSocket(1), NotingSocket(1), NotingSocket(2))
    await hand_to_hub(note(1, owner_id=1))
    await hand_to_hub(note(2))
    assert mine.texts[0] is tablet.texts[0]
    assert mine.texts[1] is tablet.texts[1] is other.texts[0]


async def test_what_nobody_here_hears_is_not_even_written(in_memory):
    def unwritable(owner_id):
        return Event(type="note", data={"number": {1j}}, owner_id=owner_id)

    await joined(NotingSocket(1))
    await hand_to_hub(unwritable(2))
    with pytest.raises(TypeError):
        await hand_to_hub(unwritable(1))


async def test_a_replayed_event_says_so():
    event = note(1, owner_id=1, is_replay=True)
    assert event.message() == {
        "type": "note",
        "data": {"number": 1, "replayed": True},
        "replayed": True,
    }


# --- Bursts -------------------------------------------------------------------------------------
def stock(version, subject="product 1"):
    return note(version, version=version, subject=subject)


@pytest.fixture
def windows(monkeypatch):
    """Each window in which changes are merged lasts until the test ends it."""
    open_ones, sleep = [], asyncio.sleep

    async def wait(seconds):
        if seconds != hub.MERGE_WINDOW:
            return await sleep(seconds)
        open_ones.append(asyncio.get_running_loop().create_future())
        return await open_ones[-1]

    monkeypatch.setattr(asyncio, "sleep", wait)
    return open_ones


@pytest.fixture
def long_windows(monkeypatch):
    """Windows that a machine with much else to do does not take for several."""
    monkeypatch.setattr(hub, "MERGE_WINDOW", 1)


async def test_a_single_change_goes_out_at_once(in_memory, windows):
    (socket,) = await joined(NotingSocket())
    await hand_to_hub(stock(1))
    await until(lambda: socket.events)
    assert not any(window.done() for window in windows)


@pytest.mark.usefixtures("long_windows")
async def test_a_burst_is_merged_and_its_last_value_is_kept(here):
    (socket,) = await joined(NotingSocket())
    await publish(*(stock(version) for version in range(1, 101)))
    await until(lambda: 100 in numbers(socket))
    seen = numbers(socket)
    assert seen == sorted(set(seen))
    assert len(seen) <= 5


@pytest.mark.usefixtures("long_windows")
async def test_a_burst_is_merged_for_thousands_as_well(in_memory):
    sockets = await joined(*(NotingSocket(owner) for owner in range(1, 3001)))
    await publish(*(stock(version) for version in range(1, 101)))
    await until(lambda: all(100 in numbers(socket) for socket in sockets))
    assert {len(socket.events) for socket in sockets} <= {1, 2, 3, 4, 5}
    assert all(socket.texts[-1] is sockets[0].texts[-1] for socket in sockets)


async def test_a_stream_of_changes_is_never_later_than_promised(in_memory, windows):
    """By one window at most, and of all that come in a window the last is told."""
    (socket,) = await joined(NotingSocket())
    await hand_to_hub(stock(1))
    for first, last in ((2, 50), (51, 100)):
        await until(lambda: windows)
        assert numbers(socket)[-1] == first - 1
        for version in range(first, last + 1):
            await hand_to_hub(stock(version))
        assert numbers(socket)[-1] == first - 1, "it is held back"
        windows.pop().set_result(None)
        await until(lambda last=last: last in numbers(socket))
    assert numbers(socket) == [1, 50, 100]
    assert hub.MERGE_WINDOW <= 0.25


async def test_versions_never_go_back_whatever_order_they_come_in(in_memory):
    (socket,) = await joined(NotingSocket())
    for version in (3, 1, 2):
        await hand_to_hub(stock(version))
    await until(lambda: numbers(socket) == [3])
    await hand_to_hub(stock(2))  # within the window
    await hand_to_hub(stock(11, "product 2"))
    await until(lambda: 11 in numbers(socket))
    await hand_to_hub(stock(12, "product 2"))
    await until(lambda: 12 in numbers(socket))  # a later window is over
    await hand_to_hub(stock(1))  # long after its own
    await hand_to_hub(stock(3))
    await hand_to_hub(stock(4))
    await until(lambda: 4 in numbers(socket))
    assert numbers(socket) == [3, 11, 12, 4]


async def test_one_product_does_not_wait_for_another(in_memory):
    (socket,) = await joined(NotingSocket())
    for version in (1, 2):
        for subject in ("product 1", "product 2"):
            await hand_to_hub(stock(version, subject))
    await until(lambda: len(socket.events) >= 2)
    assert {event.subject for event in socket.events[:2]} == {"product 1", "product 2"}


async def test_a_product_is_heard_of_again_after_a_message_that_could_not_be_written(in_memory):
    (socket,) = await joined(NotingSocket())
    before = asyncio.all_tasks()
    await hand_to_hub(Event(type="note", data={"number": {1j}}, version=1, subject="product 1"))
    (task,) = asyncio.all_tasks() - before
    with pytest.raises(TypeError):
        await task
    await hand_to_hub(stock(2))
    await until(lambda: numbers(socket) == [2])


# --- Too many sockets ---------------------------------------------------------------------------
async def test_a_sixth_socket_closes_the_oldest(here):
    sockets = await joined(*(NotingSocket(1, f"s{number}") for number in range(6)))
    (other,) = await joined(NotingSocket(2))
    await until(lambda: sockets[0].closed_with)
    assert sockets[0].closed_with == 4429
    await joined(late := NotingSocket(1, "s6"))
    await until(lambda: sockets[1].closed_with)
    await publish(note(1))
    await until(lambda: late.events and other.events)
    assert [socket.closed_with for socket in sockets] == [4429, 4429, None, None, None, None]
    assert other.closed_with is None


async def test_who_left_makes_room(here):
    sockets = await joined(*(NotingSocket(1, f"s{number}") for number in range(5)))
    here.leave(sockets[2])
    await joined(late := NotingSocket(1, "s5"))
    await publish(note(1, owner_id=1))
    await until(lambda: late.events)
    assert [socket.closed_with for socket in sockets] == [None] * 5


async def test_sockets_on_other_processes_count(here):
    """The process that has the oldest closes it."""
    (mine,) = await joined(NotingSocket(1, "mine"))
    await until(lambda: here.everywhere)
    push.send("push.counts", {"counts": [(1, f"elsewhere {number}", True) for number in range(4)]})
    await publish(note(1, owner_id=1))
    await until(lambda: mine.events)
    assert mine.closed_with is None
    push.send("push.counts", {"counts": [(1, "elsewhere 5", True)]})
    await until(lambda: mine.closed_with)
    assert mine.closed_with == 4429


async def test_nothing_is_kept_of_people_who_are_gone(here):
    (socket,) = await joined(NotingSocket(1))
    await until(lambda: here.everywhere)
    here.leave(socket)
    await until(lambda: not here.everywhere)
    push.send("push.counts", {"counts": [(1, "never seen", False)]})
    await joined(NotingSocket(2))
    await until(lambda: here.everywhere)
    assert list(here.everywhere) == [2]


async def test_all_that_come_and_go_at_one_moment_are_announced_in_one_message(here):
    layer = get_channel_layer()
    channel = await layer.new_channel()
    await layer.group_add(push.GROUP, channel)

    async def announced():
        message = await asyncio.wait_for(layer.receive(channel), 5)
        assert message["type"] == "push.counts"
        return [tuple(count) for count in message["payload"]["counts"]]

    await here.join(NotingSocket(7))  # the subscription stands
    first, second = (NotingSocket(owner, f"s{owner}") for owner in (1, 2))
    for socket in (first, second):
        await here.join(socket)
        here.count(socket)
    here.leave(first)
    assert await announced() == [(1, "s1", True), (2, "s2", True), (1, "s1", False)]
    here.leave(second)
    assert await announced() == [(2, "s2", False)]
    await until(lambda: not here.everywhere)


async def test_who_is_not_counted_closes_nobody_and_is_not_announced(here):
    sockets = await joined(*(NotingSocket(1, f"s{number}") for number in range(5)))
    await here.join(stranger := NotingSocket(1, "stranger"))
    await joined(NotingSocket(2))
    await until(lambda: 2 in here.everywhere)
    assert [socket.closed_with for socket in sockets] == [None] * 5
    assert "stranger" not in here.everywhere[1]
    here.leave(stranger)
    await joined(NotingSocket(3))
    await until(lambda: 3 in here.everywhere)
    assert here.everywhere[1] == [f"s{number}" for number in range(5)]


# --- Closing ------------------------------------------------------------------------------------
async def test_one_sign_in_or_a_whole_person_can_be_closed(here):
    mine, tablet, other = await joined(
        NotingSocket(1, session_id=11), NotingSocket(1, session_id=12), NotingSocket(2)
    )
    push.send("push.close", {"code": 4403, "session_id": 12})
    await until(lambda: tablet.closed_with)
    assert (mine.closed_with, tablet.closed_with, other.closed_with) == (None, 4403, None)
    push.send("push.close", {"code": 4403, "owner_id": 1})
    await until(lambda: mine.closed_with)
    assert other.closed_with is None


async def test_a_socket_that_does_not_let_itself_be_closed_holds_nobody_up(in_memory, monkeypatch):
    monkeypatch.setattr(hub, "SECONDS_TO_TAKE_A_MESSAGE", 0.2)
    stuck, other = await joined(NotingSocket(1), NotingSocket(2))
    stuck.closing.clear()
    push.send("push.close", {"code": 4403, "owner_id": 1})
    await publish(note(1))
    await until(lambda: other.events)
    assert stuck.closed_with is None
    assert in_memory.sockets == [other]
    await until(lambda: stuck.was_given_up)


async def test_a_socket_that_breaks_while_closed_breaks_nothing_else(in_memory):
    class Broken(NotingSocket):
        async def disconnect_with(self, code):
            raise RuntimeError("gone already")

    _broken, whole = await joined(Broken(1), NotingSocket(1))
    push.send("push.close", {"code": 4403, "owner_id": 1})
    await until(lambda: whole.closed_with)


# --- What it survives ---------------------------------------------------------------------------
async def test_a_message_it_cannot_handle_is_logged_and_the_next_is_handed_on(here, caplog):
    (socket,) = await joined(NotingSocket(1))
    push.send("push.event", {"nonsense": 1})
    push.send("push.unheard_of", {})
    await publish(note(1, owner_id=1))
    await until(lambda: socket.events)
    assert "could not be handed on" in caplog.text


async def test_a_layer_that_is_away_is_asked_again(settings, monkeypatch, caplog):
    settings.CHANNEL_LAYERS = FLAKY
    monkeypatch.setattr(hub, "TRY_AGAIN_AFTER", 0.01)
    (socket,) = await joined(NotingSocket(1))
    lost = Event(type="lost", data={}, owner_id=1)
    await publish(note(0, owner_id=1), lost, note(1, owner_id=1))
    await until(lambda: numbers(socket) == [0, 1])
    assert "could not be sent" in caplog.text

    await publish(Event(type="the last one", data={}, owner_id=1))
    await until(lambda: caplog.text.count("lost its channel layer") == 3)
    await joined(newcomer := NotingSocket(1))  # waits for the new subscription
    await publish(note(2, owner_id=1))
    await until(lambda: newcomer.events)
    assert numbers(socket) == [0, 1, 2]
    assert caplog.text.count("lost its channel layer") == 3
    await end_of_the_process()


async def test_housekeeping_goes_on_after_a_failure(in_memory, monkeypatch, caplog):
    seen = []

    async def fail(sockets):
        raise ZeroDivisionError

    async def look(sockets):
        seen.append(list(sockets))

    monkeypatch.setattr(hub, "housekeeping", Registry())
    monkeypatch.setattr(hub, "HOUSEKEEPING_EVERY", 0.01)
    hub.housekeeping.register("failing", fail)
    hub.housekeeping.register("looking", look)
    (socket,) = await joined(NotingSocket(1))
    await until(lambda: len(seen) > 2)
    assert seen[-1] == [socket]
    assert "housekeeping failed" in caplog.text


# --- One socket's outbox ------------------------------------------------------------------------
@pytest.fixture
def server():
    return FakeServer()


async def test_texts_leave_in_order_and_at_once_when_there_is_room(server):
    dropped = []
    outbox = hub.Outbox(server.write, lambda: dropped.append(1))
    for number in range(3):
        outbox.put(str(number))
    assert server.taken == ["0", "1", "2"]  # no turn of the loop was needed
    assert asyncio.all_tasks() == {asyncio.current_task()}
    assert dropped == []


async def test_a_slow_socket_gets_everything_in_order_later(server):
    dropped = []
    outbox = hub.Outbox(server.write, lambda: dropped.append(1))
    server.may_take.clear()
    for number in range(hub.BACKLOG):
        outbox.put(str(number))
    assert server.taken == []
    server.may_take.set()
    await until(lambda: len(server.taken) == hub.BACKLOG)
    outbox.put("last")
    assert server.taken == [*map(str, range(hub.BACKLOG)), "last"]
    assert dropped == []


async def test_a_socket_too_far_behind_is_dropped(server):
    dropped = []
    outbox = hub.Outbox(server.write, lambda: dropped.append(1))
    server.may_take.clear()
    for number in range(hub.BACKLOG + 1):
        outbox.put(str(number))
    assert dropped == []
    outbox.put("one too many")
    assert dropped == [1]
    server.may_take.set()
    await until(lambda: len(server.taken) == hub.BACKLOG + 2)  # none is left to write


async def test_a_socket_that_takes_nothing_for_long_is_dropped(server, monkeypatch):
    monkeypatch.setattr(hub, "SECONDS_TO_TAKE_A_MESSAGE", 0.05)
    dropped = []
    outbox = hub.Outbox(server.write, lambda: dropped.append(1))
    server.may_take.clear()
    outbox.put("x")
    await until(lambda: dropped)
    assert server.taken == []


async def test_a_socket_that_is_slow_but_alive_is_not_dropped(monkeypatch):
    """The time limit is for one message, not for a whole backlog."""
    monkeypatch.setattr(hub, "SECONDS_TO_TAKE_A_MESSAGE", 0.5)
    taken, dropped = [], []

    async def write(text):
        await asyncio.sleep(0.1)
        taken.append(text)

    outbox = hub.Outbox(write, lambda: dropped.append(1))
    for number in range(8):
        outbox.put(str(number))
    await until(lambda: len(taken) == 8)
    assert dropped == []


async def test_a_socket_that_breaks_is_dropped():
    dropped = []

    async def write(text):
        raise RuntimeError("connection lost")

    outbox = hub.Outbox(write, lambda: dropped.append(1))
    outbox.put("x")
    assert dropped == [1]


async def test_a_socket_that_is_cancelled_while_it_is_written_to_is_dropped(server):
    """As a server does when its client goes away."""
    dropped = []

    async def write(text):
        raise asyncio.CancelledError

    outbox = hub.Outbox(write, lambda: dropped.append(1))
    outbox.put("x")
    assert dropped == [1]


async def test_a_slow_socket_does_not_hold_up_the_others(in_memory, server):
    class Slow(NotingSocket):
        def __init__(self):
            super().__init__(1)
            self.outbox = hub.Outbox(server.write, lambda: None)

        def deliver(self, event, text):
            self.outbox.put(text)

    server.may_take.clear()
    slow, fast = await joined(Slow(), NotingSocket(2))
    for number in range(50):
        await hand_to_hub(note(number))
    assert len(fast.events) == 50
    assert server.taken == []
    server.may_take.set()
    await until(lambda: len(server.taken) == 50)
    assert slow.events == []


async def test_each_loop_has_one_hub():
    assert hub.current() is hub.current()


async def test_what_goes_well_is_not_logged(in_memory, caplog):
    with caplog.at_level(logging.WARNING):
        await joined(NotingSocket(1))
        await publish(note(1))
    assert caplog.records == []
