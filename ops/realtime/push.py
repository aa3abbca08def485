"""Telling sockets of committed changes. Nothing here is called before its transaction is over.

Every web process has one hub (ops.realtime.hub) that listens to one group of the channel layer and
hands each message to its own sockets. Senders put messages into that group from one thread per
process: a new event loop for each message would mean a new Redis connection for each message.
"""

import asyncio
import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import asdict, dataclass, field
from datetime import datetime
from functools import partial
from typing import Any

from channels.layers import InMemoryChannelLayer, get_channel_layer
from django.db import transaction
from django.utils import timezone

from ops.registry import Registry

logger = logging.getLogger(__name__)

GROUP = "push"
REPLAY_LIMIT = 100  # events that are sent again; whoever missed more starts afresh
MOST_WAITING = 10_000  # messages kept while the channel layer takes none; clients mend the gap


@dataclass(frozen=True, slots=True)
class Event:
    """One message to sockets. `owner_id` None means everybody.

    `version` counts the changes of whatever `subject` names (for a person's points: their ledger
    number), so that sockets can put messages in order and drop late ones.
    """

    type: str
    data: dict[str, Any]
    owner_id: int | None = None
    version: int | None = None
    subject: str = ""
    is_replay: bool = False

    def message(self) -> dict[str, Any]:
        """What the client reads."""
        replayed = {"replayed": True} if self.is_replay else {}
        return {"type": self.type, "data": {**self.data, **replayed}, **replayed}


@dataclass(frozen=True, slots=True)
class CloseOrder:
    """Sockets to be closed: those of one sign-in, or all of one person."""

    code: int
    session_id: int | None = None
    owner_id: int | None = None


type Replay = Callable[[int, datetime], list[Event]]

# What `resume` asks for a person's events since a time.
replays: Registry[Replay] = Registry()


def replay_since(owner_id: int, since: datetime) -> list[Event]:
    """What the registered apps have for a person since a time, oldest first."""
    return [event for replay in replays.values() for event in replay(owner_id, since)]


def timestamp(moment: datetime) -> str:
    """A time as clients read it: ISO 8601 with the offset of the deployment's time zone."""
    return timezone.localtime(moment).isoformat()


def publish_on_commit(event: Event) -> None:
    """Send an event once the current transaction is committed; a failure fails nothing else."""
    transaction.on_commit(partial(publish, event), robust=True)


def close_on_commit(
    *, code: int, session_id: int | None = None, owner_id: int | None = None
) -> None:
    """Close sockets on every process once the current transaction is committed."""
    order = CloseOrder(code=code, session_id=session_id, owner_id=owner_id)
    transaction.on_commit(partial(send, "push.close", asdict(order)), robust=True)


def publish(event: Event) -> None:
    """Send an event now: only for what is committed already."""
    send("push.event", asdict(event))


def send(kind: str, payload: dict[str, Any]) -> None:
    """Hand a message to every process's hub, in the order of the calls of this process.

    It says when that was, so that whoever hands it on can tell how long it took.
    """
    _sender.put({"type": kind, "payload": payload, "at": time.time()})


@dataclass
class _Sender:
    """Sends from one event loop per process: the hub's where there is one, else its own.

    One drain at a time takes what waits, whatever the loop: a second would overtake the first.
    """

    loop: asyncio.AbstractEventLoop | None = None
    lock: threading.Lock = field(default_factory=threading.Lock)
    waiting: list[dict[str, Any]] = field(default_factory=list)
    drain: Future[None] | None = None
    dropped: int = 0

    def use(self, loop: asyncio.AbstractEventLoop) -> None:
        """Send from this running loop from now on."""
        with self.lock:
            self._change_loop(loop)

    def put(self, message: dict[str, Any]) -> None:
        with self.lock:
            loop = self._running_loop()
            if loop is None:
                return
            if len(self.waiting) >= MOST_WAITING:
                if not self.dropped:
                    logger.error("%d pushes are waiting: more are dropped", MOST_WAITING)
                self.dropped += 1
                return
            if self.dropped:
                logger.error("%d pushes were dropped", self.dropped)
                self.dropped = 0
            self.waiting.append(message)
            if self.drain is None or self.drain.done():
                self.drain = asyncio.run_coroutine_threadsafe(self._drain(), loop)

    def _running_loop(self) -> asyncio.AbstractEventLoop | None:
        if self.loop is None or self.loop.is_closed():
            if isinstance(get_channel_layer(), InMemoryChannelLayer):
                return None  # no hub in this process, and no way to reach another one
            loop = asyncio.new_event_loop()
            self._change_loop(loop)
            threading.Thread(target=loop.run_forever, name="push", daemon=True).start()
        return self.loop

    def _change_loop(self, loop: asyncio.AbstractEventLoop) -> None:
        if self.loop is not None and not self.loop.is_running():
            self.drain = None  # it went with its loop
        self.loop = loop

    async def _drain(self) -> None:
        layer = get_channel_layer()
        while True:
            with self.lock:
                batch, self.waiting = self.waiting, []
                if not batch:
                    self.drain = None
                    return
            for message in batch:
                try:
                    await layer.group_send(GROUP, message)
                except Exception:
                    # A lost push is mended by the next one: clients see the gap and ask again.
                    logger.exception("A push could not be sent")

    def flush(self, timeout: float = 2) -> None:
        """Wait until everything put so far is sent; TimeoutError after `timeout` seconds."""
        with self.lock:
            drain = self.drain
        if drain is not None:
            drain.result(timeout)


_sender = _Sender()
use_loop = _sender.use
flush = _sender.flush
