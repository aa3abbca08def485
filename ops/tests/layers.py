"""Both channel layers: in memory, and Redis where the tests have one."""

import asyncio
import copy

import pytest
from channels.layers import InMemoryChannelLayer
from django.conf import settings

IN_MEMORY = {
    "default": {
        "BACKEND": "channels.layers.InMemoryChannelLayer",
        "CONFIG": {"capacity": 100_000, "group_expiry": 100 * 365 * 86_400},
    }
}
CONFIGURED = copy.deepcopy(settings.CHANNEL_LAYERS)
LAYERS = [
    pytest.param(IN_MEMORY, id="in memory"),
    pytest.param(
        CONFIGURED, id="redis", marks=[] if settings.REDIS_URL else [pytest.mark.postgresql]
    ),
]


class FlakyLayer(InMemoryChannelLayer):
    """A layer that is away when it is first asked for each of its services."""

    def __init__(self, **options):
        super().__init__(**options)
        self.failed = set()

    def _fail_once(self, what):
        if what not in self.failed:
            self.failed.add(what)
            raise ConnectionError(what)

    async def new_channel(self, prefix="specific."):
        self._fail_once("new_channel")
        return await super().new_channel(prefix)

    async def group_add(self, group, channel):
        self._fail_once("group_add")
        await super().group_add(group, channel)

    async def receive(self, channel):
        message = await super().receive(channel)
        if message["payload"].get("type") == "the last one":
            self._fail_once("receive")
        return message

    async def group_send(self, group, message):
        if message["payload"].get("type") == "lost":
            self._fail_once("group_send")
        await super().group_send(group, message)


FLAKY = {"default": {"BACKEND": "ops.tests.layers.FlakyLayer"}}


class HoldingLayer(InMemoryChannelLayer):
    """A layer that takes its time over the first message."""

    def __init__(self, **options):
        super().__init__(**options)
        self.was_asked, self.may_send = asyncio.Event(), asyncio.Event()

    async def group_send(self, group, message):
        if not self.was_asked.is_set():
            self.was_asked.set()
            await self.may_send.wait()
        await super().group_send(group, message)


HOLDING = {"default": {"BACKEND": "ops.tests.layers.HoldingLayer"}}
