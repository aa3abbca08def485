"""A way to a server that others share: here it can be held up, as if that server hung."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from urllib.parse import urlsplit, urlunsplit

from tests.kept_servers import LOOPBACK

PIECE = 65_536  # bytes


class Way:
    """Listens on a port of its own, and carries what comes to the server and back."""

    def __init__(self, address: str) -> None:
        self._there = urlsplit(address)
        self._listening = socket.create_server((LOOPBACK, 0))
        self._is_open = threading.Event()
        self._is_open.set()
        self._ends: list[socket.socket] = []

    @property
    def address(self) -> str:
        """The address of the server, by this way."""
        login, _at, _server = self._there.netloc.rpartition("@")
        port = self._listening.getsockname()[1]
        netloc = f"{login}{'@' if login else ''}{LOOPBACK}:{port}"
        return urlunsplit(self._there._replace(netloc=netloc))

    @contextmanager
    def held_up(self) -> Iterator[None]:
        """Let nothing pass: whoever asks waits, and nobody is refused."""
        self._is_open.clear()
        try:
            yield
        finally:
            self._is_open.set()

    def serve(self) -> None:
        """Carry until it is closed."""
        with suppress(OSError):
            while True:
                here, _address = self._listening.accept()
                threading.Thread(target=self._carry, args=(here,), daemon=True).start()

    def close(self) -> None:
        """End every connection."""
        self._is_open.set()
        for end in [self._listening, *self._ends]:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def _carry(self, here: socket.socket) -> None:
        self._is_open.wait()
        there = socket.create_connection((self._there.hostname or LOOPBACK, self._there.port or 0))
        self._ends += [here, there]
        back = threading.Thread(target=self._pass_on, args=(there, here), daemon=True)
        back.start()
        self._pass_on(here, there)

    def _pass_on(self, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while piece := source.recv(PIECE):
                self._is_open.wait()
                target.sendall(piece)
        for end in (source, target):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


@contextmanager
def way_to(address: str) -> Iterator[Way]:
    """A way to the server at this address."""
    way = Way(address)
    thread = threading.Thread(target=way.serve, name="way", daemon=True)
    thread.start()
    try:
        yield way
    finally:
        way.close()
        thread.join()
