"""The load generator: so many connections, each with one request under way, from one process.

    python -m bench.load < job.json

Nothing but sockets and epoll: a request costs it some twenty microseconds, so that it is never what
is measured. It says how much processor time it took, and `bench.trivial` shows what it can do.
"""

import json
import os
import re
import select
import socket
import sys
import time
from collections import Counter, deque
from dataclasses import dataclass, field
from itertools import count
from typing import Any

LOOPBACK = "127.0.0.1"
LONGEST_WAIT = 30  # seconds in which nothing is answered: the server hangs
SUCCESS = b'{"code":0,'
CODE = re.compile(rb'"code":(\d+)')
LENGTH = re.compile(rb"(?i)\r\ncontent-length: *(\d+)")


@dataclass
class Job:
    """What is sent. Each request takes the next path and the next token; both go round.

    `rate`: so many a second in all, instead of one after the other. `most`: so many at most.
    """

    port: int
    seconds: float
    paths: list[str]
    tokens: list[str] = field(default_factory=list)
    connections: int = 16
    warm_up: float = 1.0
    body: str | None = None
    is_keyed: bool = False
    rate: float | None = None
    most: int | None = None
    first: int = 0

    def requests(self) -> Any:
        """Bytes without end."""
        this_run = os.urandom(8).hex()
        heads = [self._head(path) for path in self.paths]
        tokens = [f"Authorization: Bearer {token}\r\n".encode() for token in self.tokens] or [b""]
        content = (self.body or "").encode()
        tail = b"\r\n"
        if self.body is not None:
            tail = b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(content)
            tail += content
        for number in count(self.first):
            key = f"Idempotency-Key: {this_run}-{number}\r\n".encode() if self.is_keyed else b""
            yield heads[number % len(heads)] + tokens[number % len(tokens)] + key + tail

    def _head(self, path: str) -> bytes:
        method = "GET" if self.body is None else "POST"
        return f"{method} {path} HTTP/1.1\r\nHost: {LOOPBACK}:{self.port}\r\n".encode()


class _Connection:
    """One socket, and the answer that is on its way."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection((LOOPBACK, port), timeout=LONGEST_WAIT)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sent_at = 0.0
        self.received = b""

    def send(self, request: bytes) -> None:
        self.received = b""
        self.sent_at = time.perf_counter()
        self.socket.sendall(request)

    def take(self) -> bool:
        """Read what came; whether the answer is complete."""
        piece = self.socket.recv(262_144)
        if not piece:
            raise ConnectionError("The server closed a connection.")
        received = self.received = self.received + piece if self.received else piece
        end = received.find(b"\r\n\r\n")
        if end < 0:
            return False
        if found := LENGTH.search(received, 0, end + 2):
            return len(received) >= end + 4 + int(found[1])
        return received.endswith(b"0\r\n\r\n")

    def failure(self) -> str | None:
        """What was answered instead of a success."""
        end = self.received.find(b"\r\n\r\n") + 4
        # Near its beginning: the length of a chunk may stand before it.
        is_success = self.received.find(SUCCESS, end, end + 40) >= 0
        if is_success and self.received.startswith(b"HTTP/1.1 200"):
            return None
        if found := CODE.search(self.received, end):
            return found[1].decode()
        return self.received[9:12].decode("latin-1")


def run(job: Job) -> dict[str, Any]:
    """Send for as long as the job says; rate and latencies are of what came after the warm-up."""
    requests = job.requests()
    connections = [_Connection(job.port) for _n in range(job.connections)]
    by_number = {one.socket.fileno(): one for one in connections}
    poll = select.epoll()
    for number in by_number:
        poll.register(number, select.EPOLLIN)
    latencies: list[float] = []
    failures: Counter[str] = Counter()
    begun = time.perf_counter()
    counted_from, end = begun + job.warm_up, begun + job.warm_up + job.seconds
    cpu = time.process_time()
    left = job.most if job.most is not None else sys.maxsize
    answered = sent = 0
    idle = deque(connections)
    last_answer = begun
    while True:
        now = time.perf_counter()
        while idle and left and now < end and (job.rate is None or sent < (now - begun) * job.rate):
            idle.popleft().send(next(requests))
            sent, left = sent + 1, left - 1
        if len(idle) == len(connections) and (now >= end or not left):
            break
        for number, _event in poll.poll(0.002 if job.rate else 1):
            connection = by_number[number]
            if not connection.take():
                continue
            now = last_answer = time.perf_counter()
            answered += 1
            if failure := connection.failure():
                failures[failure] += 1
            if counted_from <= now < end:
                latencies.append(now - connection.sent_at)
            idle.append(connection)
        if now - last_answer > LONGEST_WAIT:
            raise TimeoutError("The server does not answer.")
    took = min(last_answer, end) - counted_from
    return {
        "requests": len(latencies),
        "seconds": took,
        "rate": len(latencies) / took,
        **_percentiles(latencies),
        "failures": dict(failures),
        "answered": answered,
        "whole_seconds": last_answer - begun,
        "generator_share": (time.process_time() - cpu) / (last_answer - begun),
    }


def _percentiles(latencies: list[float]) -> dict[str, float]:
    """In milliseconds."""
    latencies.sort()
    if not latencies:
        return {}
    at = {"p50": 0.5, "p95": 0.95, "p99": 0.99}
    found = {name: latencies[int(len(latencies) * part)] * 1000 for name, part in at.items()}
    return {**found, "max": latencies[-1] * 1000}


if __name__ == "__main__":
    print(json.dumps(run(Job(**json.load(sys.stdin)))))
