"""Listening where the sockets' hub listens."""

import asyncio
import threading

import pytest
from channels.layers import get_channel_layer

from ops.realtime import push


class Pushes:
    """Every push of a test, as it goes to the hubs of all processes."""

    def __init__(self, loop):
        self.loop = loop
        self.layer = get_channel_layer()
        self.channel = self.run(self.layer.new_channel())
        self.run(self.layer.group_add(push.GROUP, self.channel))

    def run(self, coroutine):
        """Run something in the loop that sends; returns what it returned."""
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(10)

    def take(self, count):
        """The next so many events, in order, and proof that there are no more."""
        push.flush()
        messages = [self.run(self.layer.receive(self.channel)) for _ in range(count)]
        push.send("push.event", {"type": "the end"})
        end = self.run(self.layer.receive(self.channel))
        assert end["payload"]["type"] == "the end", end
        return [message["payload"] for message in messages]


@pytest.fixture
def pushes():
    """What this test sends to sockets, event by event."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    push.use_loop(loop)
    heard = Pushes(loop)
    yield heard
    heard.run(heard.layer.flush())
    loop.call_soon_threadsafe(loop.stop)
    thread.join(10)
    loop.close()
