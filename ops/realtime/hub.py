"""The sockets of this process, and the one subscription that feeds them.

Channels would give every socket a channel, a queue and a thread hop per message, which was
measured 15 to 18 times slower than a plain server. Here a process listens once, and each message
is encoded once and handed to its sockets directly.
"""

import asyncio
import logging
import time
from collections import defaultdict, deque
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from contextlib import suppress
from typing import Any, Protocol
from weakref import WeakKeyDictionary

import orjson
from channels.layers import get_channel_layer

from ops.metrics import PUSH_SECONDS, SOCKETS_CLOSED, SOCKETS_OPEN, SOCKETS_OPENED
from ops.realtime import push
from ops.realtime.push import CloseOrder, Event
from ops.registry import Registry

logger = logging.getLogger(__name__)

SOCKETS_PER_PERSON = 5
TOO_MANY_SOCKETS = 4429
MERGE_WINDOW = 0.1  # seconds in which the changes of one product are merged; 0.25 is promised
YIELD_EVERY = 200  # sends after which the loop may do something else
BACKLOG = 100  # messages that a slow socket may be behind
SECONDS_TO_TAKE_A_MESSAGE = 10
# Seconds. With the looks before and after it that is less than the five that are promised.
HOUSEKEEPING_EVERY = 3
TRY_AGAIN_AFTER = 1  # second, when the channel layer is away

_closing: set[asyncio.Task[None]] = set()


class Socket(Protocol):
    """What the hub needs to know of a consumer."""

    socket_id: str
    owner_id: int
    session_id: int
    is_counted: bool  # among the sockets of its person; False until the hub says otherwise

    def write(self, text: str) -> Awaitable[None]: ...
    def disconnect_with(self, code: int) -> Awaitable[None]: ...
    def deliver(self, event: Event, text: str) -> None: ...


# Whose socket, which one, and whether it is there or gone.
type Count = tuple[int, str, bool]
type Housekeeping = Callable[[list[Socket]], Awaitable[None]]

# Called with this process's sockets every few seconds.
housekeeping: Registry[Housekeeping] = Registry()


class Outbox:
    """Sends texts over one socket in order, without ever making the others wait for it."""

    __slots__ = ("_behind", "_drop", "_sending", "_write")

    def __init__(
        self, write: Callable[[str], Coroutine[Any, Any, None]], drop: Callable[[], None]
    ) -> None:
        self._write = write
        self._drop = drop
        self._behind: deque[str] | None = None  # made when the socket is slow for the first time
        self._sending: asyncio.Task[None] | None = None

    def put(self, text: str) -> None:
        """Send now if the socket takes it, else queue it; a socket too far behind is dropped."""
        if self._sending is not None:
            if self._behind is None:
                self._behind = deque()
            self._behind.append(text)
            if len(self._behind) > BACKLOG:
                self._drop()
            return
        # Started eagerly, a send that finds room in the buffer is over before this line is: of
        # thousands of sockets hardly one needs a clock and a queue.
        loop = asyncio.get_running_loop()
        first = asyncio.Task(self._write(text), loop=loop, eager_start=True)
        if not first.done():
            self._sending = loop.create_task(self._catch_up(first))
        elif first.cancelled() or first.exception():
            self._drop()

    async def _catch_up(self, first: asyncio.Task[None]) -> None:
        try:
            await _in_time(first)
            while self._behind:
                await _in_time(self._write(self._behind.popleft()))
        except Exception:  # noqa: BLE001  a socket that breaks while written to is gone, whatever it says
            self._drop()
        finally:
            self._sending = None


async def _in_time(writing: Awaitable[None]) -> None:
    async with asyncio.timeout(SECONDS_TO_TAKE_A_MESSAGE):
        await writing


class Hub:
    """All sockets of one event loop."""

    def __init__(self) -> None:
        self.by_owner: dict[int, list[Socket]] = defaultdict(list)
        # Sockets of a person on any process, oldest first: (socket id). A process that died
        # leaves its own behind; they are the oldest soon and are counted out.
        self.everywhere: dict[int, list[str]] = defaultdict(list)
        self._subscribed = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._held_back: dict[tuple[str, str], tuple[Event, float | None]] = {}
        self._sent_versions: dict[tuple[str, str], int] = {}
        self._merging: set[tuple[str, str]] = set()
        self._counts: list[Count] = []

    @property
    def sockets(self) -> list[Socket]:
        """Every socket of this process."""
        return [socket for sockets in self.by_owner.values() for socket in sockets]

    async def join(self, socket: Socket) -> None:
        """Take a socket in; returns when nothing that is sent from now on can pass it by."""
        if not self._tasks:
            push.use_loop(asyncio.get_running_loop())
            self._tasks = [
                asyncio.create_task(self._listen(), name="hub"),
                asyncio.create_task(self._run_housekeeping(), name="hub housekeeping"),
            ]
        await self._subscribed.wait()
        self.by_owner[socket.owner_id].append(socket)

    def count(self, socket: Socket) -> None:
        """Count a socket among those of its person, on every process: one too many closes one.

        Only who may listen is counted, or strangers could close the sockets of a person.
        """
        socket.is_counted = True
        SOCKETS_OPENED.add()
        SOCKETS_OPEN.move(1)
        self._tell(socket)

    def leave(self, socket: Socket) -> None:
        """Let a socket go; closing twice does no harm."""
        here = self.by_owner.get(socket.owner_id, [])
        if socket not in here:
            return
        here.remove(socket)
        if not here:
            del self.by_owner[socket.owner_id]
        if socket.is_counted:
            socket.is_counted = False
            SOCKETS_CLOSED.add()
            SOCKETS_OPEN.move(-1)
            self._tell(socket)

    def _tell(self, socket: Socket) -> None:
        """Announce it with all that come and go at this moment, in one message."""
        if not self._counts:
            asyncio.get_running_loop().call_soon(self._send_counts)
        self._counts.append((socket.owner_id, socket.socket_id, socket.is_counted))

    def _send_counts(self) -> None:
        counts, self._counts = self._counts, []
        push.send("push.counts", {"counts": counts})

    async def _listen(self) -> None:
        layer = get_channel_layer()
        while True:
            try:
                channel = await layer.new_channel()
                await layer.group_add(push.GROUP, channel)
                self._subscribed.set()
                while True:
                    message = await layer.receive(channel)
                    try:
                        await self.handle(message)
                    except Exception:
                        # A new subscription would miss what is sent meanwhile.
                        logger.exception("A push could not be handed on")
            except Exception:
                # The layer is away. Clients notice the gap in versions once it is back.
                self._subscribed.clear()
                logger.exception("The hub lost its channel layer; it tries again")
                await asyncio.sleep(TRY_AGAIN_AFTER)

    async def handle(self, message: dict[str, Any]) -> None:
        """Act on one message of the channel layer, in the order in which it brings them."""
        payload = message["payload"]
        match message["type"]:
            case "push.event":
                await self._deliver(Event(**payload), sent_at=message.get("at"))
            case "push.close":
                self._close(CloseOrder(**payload))
            case "push.counts":
                for owner_id, socket_id, is_counted in payload["counts"]:
                    (self._count_in if is_counted else self._count_out)(owner_id, socket_id)

    async def _deliver(self, event: Event, *, sent_at: float | None) -> None:
        """Hand an event on. An earlier version did not say when it was sent."""
        if event.owner_id is not None:
            # Most messages are for people who are connected elsewhere, or nowhere.
            if here := self.by_owner.get(event.owner_id):
                text = encode(event)
                for socket in list(here):
                    socket.deliver(event, text)
                _observe(sent_at)
        elif event.subject:
            self._merge(event, sent_at=sent_at)
        else:
            await self.broadcast(event, sent_at=sent_at)

    def _merge(self, event: Event, *, sent_at: float | None) -> None:
        """Send the first change of a subject at once and the last of a burst after the window."""
        key = (event.type, event.subject)
        held_back = self._held_back.get(key)
        newest = held_back[0].version if held_back else self._sent_versions.get(key)
        if (event.version or 0) <= (newest or 0):
            return  # late: a newer one went out or is about to
        self._held_back[key] = event, sent_at
        if key not in self._merging:
            self._merging.add(key)
            self._tasks.append(task := asyncio.create_task(self._send_merged(key)))
            task.add_done_callback(self._tasks.remove)

    async def _send_merged(self, key: tuple[str, str]) -> None:
        try:
            while held_back := self._held_back.pop(key, None):
                event, sent_at = held_back
                self._sent_versions[key] = event.version or 0
                await self.broadcast(event, sent_at=sent_at)
                await asyncio.sleep(MERGE_WINDOW)
        finally:
            self._merging.discard(key)

    async def broadcast(self, event: Event, *, sent_at: float | None = None) -> None:
        """Hand an event to every socket of this process; `sent_at` is when it was published."""
        text = encode(event)
        has_sockets = bool(self.by_owner)
        for number, socket in enumerate(self.sockets, start=1):
            socket.deliver(event, text)
            if number % YIELD_EVERY == 0:
                await asyncio.sleep(0)
        if has_sockets:
            _observe(sent_at)

    def _close(self, order: CloseOrder) -> None:
        close_all(
            (
                socket
                for socket in self.sockets
                if order.owner_id == socket.owner_id or order.session_id == socket.session_id
            ),
            order.code,
        )

    def _count_in(self, owner_id: int, socket_id: str) -> None:
        everywhere = self.everywhere[owner_id]
        everywhere.append(socket_id)
        while len(everywhere) > SOCKETS_PER_PERSON:
            oldest = everywhere.pop(0)
            here = [one for one in self.by_owner.get(owner_id, ()) if one.socket_id == oldest]
            close_all(here, TOO_MANY_SOCKETS)

    def _count_out(self, owner_id: int, socket_id: str) -> None:
        with suppress(ValueError):
            self.everywhere[owner_id].remove(socket_id)
        if not self.everywhere[owner_id]:
            del self.everywhere[owner_id]

    async def _run_housekeeping(self) -> None:
        while True:
            await asyncio.sleep(HOUSEKEEPING_EVERY)
            for name, look_after in housekeeping.items():
                try:
                    await look_after(self.sockets)
                except Exception:
                    logger.exception("The hub's housekeeping failed at %s; it tries again", name)


def _observe(sent_at: float | None) -> None:
    """Count how long a push took to come here, when its sender said when that began."""
    if sent_at is not None:
        PUSH_SECONDS.observe(max(0.0, time.time() - sent_at))


def encode(event: Event) -> str:
    """The text of an event as clients read it."""
    return orjson.dumps(event.message()).decode()


def close_all(sockets: Iterable[Socket], code: int) -> None:
    """Close these sockets, whatever state each is in, and wait for none of them."""
    loop = asyncio.get_running_loop()
    for socket in list(sockets):
        # Eagerly: it is out of the hub before this line is over, even if its client hangs.
        task = asyncio.Task(_close(socket, code), loop=loop, eager_start=True)
        _closing.add(task)
        task.add_done_callback(_closing.discard)


async def _close(socket: Socket, code: int) -> None:
    try:
        async with asyncio.timeout(SECONDS_TO_TAKE_A_MESSAGE):
            await socket.disconnect_with(code)
    except Exception:  # noqa: BLE001  the server says in its own way that it is gone already
        logger.debug("A socket was gone before it could be closed")


def announce_here(event: Event) -> None:
    """Send an event to all sockets of this process, from whatever thread; it reaches no other."""
    for loop, own in list(_hubs.items()):
        if loop.is_running():
            asyncio.run_coroutine_threadsafe(own.broadcast(event), loop)


_hubs: WeakKeyDictionary[asyncio.AbstractEventLoop, Hub] = WeakKeyDictionary()


def current() -> Hub:
    """The hub of the running event loop; each process has one loop that serves sockets."""
    loop = asyncio.get_running_loop()
    if loop not in _hubs:
        _hubs[loop] = Hub()
    return _hubs[loop]
