import asyncio
import threading

import pytest
from channels.layers import get_channel_layer
from rest_framework.test import APIClient

from ops.realtime import push
from reviews.tests.readers import ScriptedReader


@pytest.fixture(autouse=True)
def reader(settings):
    """The reader of all tests here: it reads what the test puts into its script."""
    settings.RECEIPT_READER = "reviews.tests.readers.ScriptedReader"
    ScriptedReader.script.clear()
    ScriptedReader.pictures.clear()
    return ScriptedReader


@pytest.fixture
def stored_files(settings):
    """The names of all files in the storage, now."""

    def names():
        return sorted(path.name for path in settings.MEDIA_ROOT.rglob("*") if path.is_file())

    return names


@pytest.fixture
def as_person():
    """A client of the API, signed in as somebody."""

    def client(person):
        client = APIClient()
        client.force_authenticate(person)
        return client

    return client


@pytest.fixture
def fetch():
    """The bytes behind a signed address, which needs no header."""

    def get(address):
        response = APIClient().get(address)
        assert response.status_code == 200
        assert response.headers["Content-Type"] == "image/jpeg"
        return b"".join(getattr(response, "streaming_content"))  # noqa: B009  unknown to the stubs

    return get


class Pushes:
    """Listens where the sockets' hub listens."""

    def __init__(self, loop):
        self.loop = loop
        self.layer = get_channel_layer()
        self.channel = self.run(self.layer.new_channel())
        self.run(self.layer.group_add(push.GROUP, self.channel))

    def run(self, coroutine):
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
    """Every push of this test, as it goes to the hubs."""
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
