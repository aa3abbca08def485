"""What sockets are measured by: greeting, memory, one update to all of them, many to some."""

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from statistics import median
from typing import Any

from redis import Redis

from bench.fixture import SignedIn
from bench.load import Job
from bench.peer.state import CHANNEL
from bench.programs import ROOT, Program
from bench.requests import Failed
from bench.stage import Stage
from ops.realtime import push
from ops.realtime.push import Event

# The programs: whose sockets, and who draws.
OURS, PEERS, DRAWING = "sockets", "peer's sockets", "peer"
TELLING = "bench"  # the channel that the peer's sockets hear
UPDATES = 10  # of which each fan-out is the median
BETWEEN = 0.3  # seconds; longer than changes of one product are merged for
SETTLE = 1.0  # seconds after a greeting, in which whatever it left behind is done
DRAWS_A_SECOND = 150  # about four points updates come of three draws

_versions = count(1_000_000)


class Crowd:
    """The process that holds the client ends."""

    def __init__(self, port: int) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "bench.sockets", str(port)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def order(self, order: dict[str, Any]) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()

    def answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise Failed("The crowd of sockets broke up; the reason stands above.")
        read: dict[str, Any] = json.loads(line)
        return read

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


@contextmanager
def crowd_at(port: int) -> Iterator[Crowd]:
    crowd = Crowd(port)
    try:
        yield crowd
    finally:
        crowd.close()


class _Ours:
    """How a process of the platform tells sockets of something that is committed."""

    def tell_all(self, version: int) -> None:
        subject, data = f"stock:{version}", _stock(version)
        push.publish(Event(type="stock_update", subject=subject, version=version, data=data))
        push.flush()

    def tell(self, owner_id: int, data: dict[str, Any]) -> None:
        version = data["points_version"]
        push.publish(Event(type="points_update", owner_id=owner_id, version=version, data=data))


class _Peers:
    """How the peer does."""

    def __init__(self, redis_url: str) -> None:
        self._redis = Redis.from_url(redis_url)

    def tell_all(self, version: int) -> None:
        self._publish(None, "stock_update", _stock(version))

    def tell(self, owner_id: int, data: dict[str, Any]) -> None:
        self._publish(owner_id, "points_update", data)

    def _publish(self, owner_id: int | None, kind: str, data: dict[str, Any]) -> None:
        text = json.dumps({"type": kind, "data": data}, separators=(",", ":"))
        self._redis.publish(TELLING, json.dumps({"owner_id": owner_id, "text": text}))


def _teller(stage: Stage, name: str) -> Any:
    return _Ours() if name == OURS else _Peers(stage.environment["REDIS_URL"])


def _stock(version: int) -> dict[str, Any]:
    return {
        "product_id": 1,
        "stock": 99,
        "product_name": "Umbrella",
        "operation": "purchase",
        "stock_version": version,
        "timestamp": "2026-01-31T12:05:06.000007+08:00",
    }


def measure(
    stage: Stage, name: str, people: list[SignedIn], *, sizes: list[int]
) -> dict[str, dict[str, float]]:
    """Greet as many as each size, in steps, and send all of them an update some times.

    `name` is of the program that serves them: OURS or PEERS.
    """
    program, teller = stage.programs[name], _teller(stage, name)
    found: dict[str, dict[str, float]] = {}
    memory, greeted, seconds = program.memory(), 0, 0.0
    with crowd_at(program.port) as crowd:
        for size in sizes:
            crowd.order({"tokens": [one.token for one in people[greeted:size]]})
            said = crowd.answer()
            greeted, seconds = size, seconds + said["seconds"]
            time.sleep(SETTLE)
            found[measure_name(f"fan-out {size}", name)] = _fan_out(crowd, teller)
        found[measure_name("greeting", name)] = {
            "rate": greeted / seconds,
            "memory_kb": (program.memory() - memory) * 1024 / greeted,
        }
    _wait_until_they_left(program)
    return found


def measure_name(name: str, program: str) -> str:
    """What a measure is called that was taken of this program."""
    return name if program == OURS else f"{name}: peer"


def _fan_out(crowd: Crowd, teller: Any) -> dict[str, float]:
    first, last, shares = [], [], []
    for _n in range(UPDATES):
        version = next(_versions)
        crowd.order({"wait_for": f'"stock_version":{version}'})
        crowd.answer()
        begun = time.monotonic()
        teller.tell_all(version)
        heard = crowd.answer()
        first.append((heard["first"] - begun) * 1000)
        last.append((heard["last"] - begun) * 1000)
        shares.append(heard["share"])
        time.sleep(BETWEEN)
    return {
        "first_ms": median(first),
        "last_ms": median(last),
        "worst_ms": max(last),
        "generator_share": median(shares),
    }


def _wait_until_they_left(program: Program) -> None:
    """Until the server has nothing left to do for sockets that are gone."""
    deadline = time.monotonic() + 20
    before = program.cpu()
    while time.monotonic() < deadline:
        time.sleep(1)
        now = program.cpu()
        if now - before < 0.05:
            return
        before = now


# --- Points updates ------------------------------------------------------------------------------
def measure_points(
    stage: Stage, name: str, people: list[SignedIn], *, sockets: int, seconds: float
) -> dict[str, float]:
    """From a points update that is published to its owner's socket, while so many listen.

    The updates are those of real draws, which the peer makes at a steady pace. It tells nobody's
    sockets of them: each is told from here, as the platform or as the peer would.
    """
    program = stage.programs[name]
    drawing = people[:sockets]
    with crowd_at(program.port) as crowd:
        crowd.order({"tokens": [one.token for one in drawing]})
        crowd.answer()
        time.sleep(SETTLE)
        crowd.order({"listen": seconds + 2})
        crowd.answer()
        cpu = program.cpu()
        with _telling(stage, _teller(stage, name)) as published:
            job = Job(
                port=stage.programs[DRAWING].port,
                seconds=seconds,
                warm_up=0,
                paths=["/api/lottery/draw"],
                tokens=[one.token for one in drawing],
                body="{}",
                is_keyed=True,
                rate=DRAWS_A_SECOND,
            )
            subprocess.run(
                [sys.executable, "-m", "bench.load"],
                cwd=ROOT,
                input=json.dumps(job.__dict__),
                capture_output=True,
                text=True,
                check=True,
            )
            heard = crowd.answer()["heard"]
        cpu = program.cpu() - cpu
    number = {person.person_id: n for n, person in enumerate(drawing)}
    return _delays(published, heard, number) | {"server_share": cpu / (seconds + 2)}


@contextmanager
def _telling(stage: Stage, teller: Any) -> Iterator[list[tuple[int, float]]]:
    """Tell sockets of what the peer draws, as long as the block lasts; who was told, and when."""
    published: list[tuple[int, float]] = []
    subscription = Redis.from_url(stage.environment["REDIS_URL"]).pubsub()
    subscription.subscribe(CHANNEL)
    is_over = threading.Event()

    def pass_on() -> None:
        while not is_over.is_set():
            message = subscription.get_message(ignore_subscribe_messages=True, timeout=0.1)
            read: dict[str, Any] = {"owner_id": None}
            if message:
                read = json.loads(message["data"] or "{}")
            if read["owner_id"] is not None:
                published.append((read["owner_id"], time.monotonic()))
                teller.tell(read["owner_id"], json.loads(read["text"])["data"])

    thread = threading.Thread(target=pass_on)
    thread.start()
    try:
        yield published
    finally:
        is_over.set()
        thread.join()
        subscription.close()


def _delays(
    published: list[tuple[int, float]], heard: list[tuple[int, float]], number: dict[int, int]
) -> dict[str, float]:
    """Each update beside what its owner's socket heard, in order."""
    by_socket: dict[int, list[float]] = {}
    for one, moment in heard:
        by_socket.setdefault(one, []).append(moment)
    delays, missed = [], 0
    for owner_id, moment in published:
        arrivals = by_socket.get(number[owner_id], [])
        if arrivals:
            delays.append((arrivals.pop(0) - moment) * 1000)
        else:
            missed += 1
    if missed or not delays:
        raise Failed(f"{missed} of {len(published)} points updates were not heard.")
    delays.sort()
    return {
        "p50": delays[len(delays) // 2],
        "p95": delays[int(len(delays) * 0.95)],
        "max": delays[-1],
        "updates": len(delays),
    }
