"""What a hub needs to be tried: sockets that note what they are given, and an orderly end."""

import asyncio
import time
from dataclasses import asdict

from channels.db import database_sync_to_async
from channels.layers import get_channel_layer
from django.db import close_old_connections

from ops.realtime import hub, push


async def until(condition, seconds=30):
    """Let the loop run until something is so."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come to that in time"
        await asyncio.sleep(0.005)


class FakeServer:
    """The server's end of a socket: takes texts, slowly if told so, and notes how it was closed."""

    def __init__(self):
        self.taken = []
        self.may_take = asyncio.Event()
        self.may_take.set()

    async def write(self, text):
        await self.may_take.wait()
        self.taken.append(text)


class NotingSocket:
    """A socket of a person that notes the events it is handed."""

    def __init__(self, owner_id=1, socket_id=None, session_id=None):
        self.owner_id = owner_id
        self.socket_id = socket_id or f"socket {id(self)}"
        self.session_id = session_id or owner_id * 100
        self.is_counted = False
        self.events = []
        self.texts = []
        self.closed_with = None
        self.was_given_up = False
        self.closing = asyncio.Event()
        self.closing.set()

    def deliver(self, event, text):
        self.events.append(event)
        self.texts.append(text)

    async def write(self, text):
        self.texts.append(text)

    async def disconnect_with(self, code):
        hub.current().leave(self)
        try:
            await self.closing.wait()
        except asyncio.CancelledError:
            self.was_given_up = True
            raise
        self.closed_with = code


async def hand_to_hub(event):
    """Give the hub a message as if it came from the channel layer, whatever came before."""
    await hub.current().handle({"type": "push.event", "payload": asdict(event)})


async def end_of_the_process():
    """What ends with a process: what waits is sent, then every task and connection of the loop."""
    await asyncio.to_thread(push.flush)
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    # While it waits, Channels' client for tests keeps every connection to the database open.
    await database_sync_to_async(close_old_connections)()
    await get_channel_layer().flush()
