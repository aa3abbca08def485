"""A client of `/ws/`, as an app on a phone is one, and a channel layer that lets it wait."""

import asyncio

from channels.db import database_sync_to_async
from channels.layers import InMemoryChannelLayer
from channels.testing import WebsocketCommunicator

from config.routing import application

SECONDS = 5


class Client:
    """One socket: what it hears, and how it was closed."""

    def __init__(
        self,
        token=None,
        *,
        by="subprotocol",
        host="localhost",
        origin=None,
        path="/ws/",
        protocols=None,
        language=None,
    ):
        headers = [(b"host", host.encode())]
        if language is not None:
            headers.append((b"accept-language", language.encode()))
        if origin is not None:
            headers.append((b"origin", origin.encode()))
        if by == "header":
            headers.append((b"authorization", f"Bearer {token}".encode()))
        if by == "subprotocol" and protocols is None:
            protocols = ["bearer", token] if token is not None else ["bearer"]
        self.wire = WebsocketCommunicator(
            application, path, headers=headers, subprotocols=protocols or []
        )

    async def open(self):
        """Shake hands: `(accepted, subprotocol or close code)`."""
        return await self.wire.connect(timeout=SECONDS)

    async def next(self):
        """The next message from the server."""
        return await self.wire.receive_json_from(timeout=SECONDS)

    async def say(self, kind, **fields):
        await self.wire.send_json_to({"type": kind, **fields})

    async def heard_before_a_pong(self):
        """Everything that comes before the answer to a ping sent now."""
        await self.say("ping")
        messages = []
        while (message := await self.next())["type"] != "pong":
            messages.append(message)
        return messages

    async def close_code(self):
        """Wait until the server closes; the code it gives. Messages before it are passed over."""
        while (message := await self.wire.receive_output(SECONDS))["type"] != "websocket.close":
            assert message["type"] == "websocket.send"
        await self.leave()
        return message["code"]

    async def leave(self):
        await self.wire.disconnect(timeout=SECONDS)


async def opened(token, **options):
    """A socket that has been greeted, and its greeting."""
    client = Client(token, **options)
    accepted, _subprotocol = await client.open()
    assert accepted
    hello = await client.next()
    assert hello["type"] == "hello"
    return client, hello["data"]


def in_database(function, *arguments, **more):
    """Call a function that needs the database, from a test that runs in a loop."""
    return database_sync_to_async(function)(*arguments, **more)


class SilentLayer(InMemoryChannelLayer):
    """A layer that never answers."""

    async def new_channel(self, prefix="specific."):
        await asyncio.Event().wait()


SILENT = {"default": {"BACKEND": "accounts.tests.sockets.SilentLayer"}}
