"""The crowd: thousands of sockets in one process of their own, which says when they heard what.

    python -m bench.sockets PORT < orders

Each order is a line of JSON, each answer as well. Frames are not parsed but looked through: a
client that took as long as the server would be what is measured. Times are of the machine's
monotonic clock, which all of its processes share.

    {"tokens": [...]}          open a socket for each and wait for all greetings
    {"wait_for": "text"}       answers at once, and again when every socket has heard this text
    {"listen": seconds}        answers at once, and with (socket, time) of all that was heard
"""

import json
import os
import resource
import select
import socket
import sys
import time
from typing import Any

LOOPBACK = "127.0.0.1"
UNDER_WAY = 64  # handshakes at once
LONGEST_WAIT = 60  # seconds for one order
LONGEST_GREETING = 300  # for a crowd
PING, PONG = 0x89, b"\x8a\x80\x00\x00\x00\x00"  # masked by zeros


class Crowd:
    """All sockets of this process."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.poll = select.epoll()
        self.sockets: dict[int, socket.socket] = {}
        self.numbers: dict[int, int] = {}  # of a socket, in the order of greeting

    def greet(self, tokens: list[str]) -> dict[str, Any]:
        """Open sockets, a few at once; greeted is who has read their hello."""
        cpu, begun = time.process_time(), time.monotonic()
        ahead = iter(tokens)
        waiting: dict[int, bytes] = {}
        done = 0
        for token in ahead:
            self._open(token, waiting)
            if len(waiting) >= UNDER_WAY:
                break
        while waiting:
            for number, data in self._heard(begun, longest=LONGEST_GREETING):
                if number not in waiting:
                    continue
                waiting[number] += data
                if b'"hello"' in waiting[number]:
                    del waiting[number]
                    done += 1
                    if following := next(ahead, None):
                        self._open(following, waiting)
        seconds = time.monotonic() - begun
        return {"greeted": done, "seconds": seconds, "share": self._share(cpu, seconds)}

    def _open(self, token: str, waiting: dict[int, bytes]) -> None:
        one = socket.create_connection((LOOPBACK, self.port), timeout=LONGEST_WAIT)
        one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        one.sendall(
            (
                f"GET /ws/ HTTP/1.1\r\nHost: {LOOPBACK}:{self.port}\r\nUpgrade: websocket\r\n"
                "Connection: Upgrade\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
                "Sec-WebSocket-Version: 13\r\n"
                f"Sec-WebSocket-Protocol: bearer, {token}\r\n\r\n"
            ).encode()
        )
        number = one.fileno()
        self.poll.register(number, select.EPOLLIN)
        self.sockets[number] = one
        self.numbers[number] = len(self.numbers)
        waiting[number] = b""

    def _heard(self, begun: float, *, longest: float = LONGEST_WAIT) -> list[tuple[int, bytes]]:
        heard = []
        for number, _event in self.poll.poll(1, 8192):
            data = os.read(number, 65_536)
            if not data:
                raise ConnectionError(f"The server closed socket {self.numbers[number]}.")
            if data[0] == PING:
                os.write(number, PONG)
            heard.append((number, data))
        if time.monotonic() - begun > longest:
            raise TimeoutError("Not all of it was heard.")
        return heard

    def wait_for(self, text: str) -> dict[str, Any]:
        """When each socket heard a text."""
        marker, missing = text.encode(), set(self.sockets)
        times = []
        begun, cpu = time.monotonic(), time.process_time()
        say({"ready": True})
        while missing:
            for number, data in self._heard(begun):
                if marker in data:
                    times.append(time.monotonic())
                    missing.discard(number)
        seconds = time.monotonic() - begun
        return {
            "first": min(times),
            "middle": sorted(times)[len(times) // 2],
            "last": max(times),
            "share": self._share(cpu, seconds),
        }

    def listen(self, seconds: float) -> dict[str, Any]:
        """Everything that says points_update, by the number of its socket."""
        heard: list[tuple[int, float]] = []
        begun, cpu = time.monotonic(), time.process_time()
        say({"ready": True})
        while time.monotonic() - begun < seconds:
            for number, data in self._heard(begun, longest=seconds + LONGEST_WAIT):
                now = time.monotonic()
                heard += [(self.numbers[number], now)] * data.count(b'"points_update"')
        return {"heard": heard, "share": self._share(cpu, seconds)}

    def _share(self, cpu: float, seconds: float) -> float:
        return (time.process_time() - cpu) / seconds


def say(answer: dict[str, Any]) -> None:
    print(json.dumps(answer), flush=True)


def allow_many_files() -> int:
    """Raise the limit of open files as far as this process may; what it is then."""
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def main() -> None:
    allow_many_files()
    crowd = Crowd(int(sys.argv[1]))
    for line in sys.stdin:
        order = json.loads(line)
        if "tokens" in order:
            say(crowd.greet(order["tokens"]))
        elif "wait_for" in order:
            say(crowd.wait_for(order["wait_for"]))
        else:
            say(crowd.listen(order["listen"]))


if __name__ == "__main__":
    main()
