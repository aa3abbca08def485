"""PostgreSQL is stopped and started under load, and nobody but its callers of that moment notices.

The platform runs as in production: granian with two processes, a worker, Redis, and a PostgreSQL
that keeps what it commits. Customers draw, exchange and read without a pause; what is refused they
send again, with the same Idempotency-Key. Meanwhile the server is stopped as `pg_ctl -m fast` does,
as `-m immediate` does, and by `kill -9`, and started again after a moment.
"""

import json
import os
import random
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import httpx

from bench import programs
from bench.drills import DidNotHold, Say
from bench.drills.cluster import (
    FAST,
    IMMEDIATE,
    KILLED,
    PLATFORM,
    Cluster,
    clusters,
    manage,
    running,
)
from bench.stage import production
from tests.kept_servers import Account, redis

TIMES, TIMES_SMALL = 50, 3
WAYS = {"fast": FAST, "immediate": IMMEDIATE, "kill -9": KILLED}
CLIENTS = 8
PEOPLE = 160
LONG_OUTAGE = 20.0  # seconds, once: how long pools wait before they try again depends on it
PATIENCE = 60.0  # seconds after which a client that got no answer is said to have been forgotten
EXCHANGE = {"quantity": 1}
# What customers want, one after the other: what it is called, where, and what is sent.
WANTED: list[tuple[str, str, dict[str, int] | None]] = [
    ("draw", "/api/lottery/draw", {}),
    ("points", "/api/user/points", None),
    ("draw", "/api/lottery/draw", {}),
    ("exchange", "/api/exchange/submit", EXCHANGE),
    ("favorites", "/api/favorites", None),
]
ENVELOPE = {"code", "msg", "data"}


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of one request; moments are those of time.monotonic."""

    what: str
    begun: float
    ended: float
    outcome: str  # ok, 1503, or whatever else it was


@dataclass(slots=True)
class Load:
    """Customers who want something all the time, each in a thread."""

    base: str
    tokens: list[str]
    product_id: int
    answers: list[Answer] = field(default_factory=list)
    stopped: threading.Event = field(default_factory=threading.Event)
    threads: list[threading.Thread] = field(default_factory=list)

    def begin(self) -> None:
        for number in range(CLIENTS):
            mine = self.tokens[number::CLIENTS]
            thread = threading.Thread(target=self._want, args=(mine, random.Random(number)))
            thread.start()
            self.threads.append(thread)

    def end(self) -> None:
        """Let each have what it wants now, and nothing more."""
        self.stopped.set()
        for thread in self.threads:
            thread.join(PATIENCE)

    def _want(self, tokens: list[str], chance: random.Random) -> None:
        this_run = f"{chance.getrandbits(64):x}"
        with httpx.Client(base_url=self.base, timeout=PATIENCE) as client:
            for number in count():
                if self.stopped.is_set():
                    return
                headers = {"Authorization": f"Bearer {tokens[number % len(tokens)]}"}
                keyed = {**headers, "Idempotency-Key": f"{this_run}-{number}"}
                what, path, body = WANTED[number % len(WANTED)]
                if body == EXCHANGE:
                    body = {**body, "product_id": self.product_id}
                send = (
                    partial(client.get, path, headers=headers)
                    if body is None
                    else partial(client.post, path, json=body, headers=keyed)
                )
                # Nobody stops while it is open whether something was taken from them.
                while self._send(what, send) == "1503":
                    time.sleep(0.02)

    def _send(self, what: str, send: Any) -> str:
        begun = time.monotonic()
        try:
            outcome = _outcome(send())
        except httpx.HTTPError as error:
            outcome = type(error).__name__
        self.answers.append(Answer(what, begun, time.monotonic(), outcome))
        return outcome

    def wait_for_all_after(self, moment: float) -> float:
        """Wait until as many requests as there are customers were begun after it, and succeeded.

        Returns the seconds until the first of them was answered.
        """
        deadline = moment + PATIENCE
        while time.monotonic() < deadline:
            good = [
                one for one in list(self.answers) if one.begun >= moment and one.outcome == "ok"
            ]
            if len(good) >= CLIENTS:
                return good[0].ended - moment
            time.sleep(0.02)
        raise DidNotHold(f"nothing succeeded within {PATIENCE:.0f} s after the server was back")


def _outcome(answer: httpx.Response) -> str:
    try:
        said = answer.json()
    except json.JSONDecodeError:
        return f"{answer.status_code} {answer.text[:80]}"
    if answer.status_code == 200 and said["code"] == 0:
        return "ok"
    if answer.status_code == 503 and said.get("code") == 1503 and set(said) == ENVELOPE:
        return "1503" if said["data"] is None else f"1503 with data {said['data']}"
    return f"{answer.status_code} {said.get('code')} {said.get('message')}"


def drill(*, small: bool, say: Say) -> None:
    times = TIMES_SMALL if small else TIMES
    with clusters() as folder, ExitStack() as stack:
        # As large a room as two web processes, a worker and this one may want.
        cluster = Cluster(folder / "postgresql", programs.free_port(), max_connections=120)
        stack.enter_context(running(cluster))
        cluster.make()
        account = Account.for_servers()
        redis_url = stack.enter_context(redis(account.folder(folder / "redis"), account))
        data = folder / "data"
        data.mkdir(mode=0o700)
        environment = production(cluster.url, redis_url, str(data))
        os.environ.update(environment)
        tokens, product_id = _fill()
        before = _rows(cluster)
        web, worker = stack.enter_context(_platform(folder))
        load = Load(f"http://{programs.LOOPBACK}:{web.port}", tokens, product_id)
        pids = sorted([*programs.tree_of(web.pid), *programs.tree_of(worker.pid)])
        load.begin()
        try:
            outages = _restart(cluster, load, times, long=not small)
        finally:
            load.end()
        _say_and_check(load, outages, say=say)
        now = sorted([*programs.tree_of(web.pid), *programs.tree_of(worker.pid)])
        say(f"processes before {len(pids)}, the same ones after: {'yes' if now == pids else 'no'}")
        if now != pids:
            raise DidNotHold(f"processes were {pids} and are {now}")
        _check_rows(before, _rows(cluster), load, say=say)
        checked = manage("check_integrity", environment=dict(os.environ))
        say(f"check_integrity ends with {checked.returncode}")
        if checked.returncode:
            raise DidNotHold(f"check_integrity: {checked.stdout[-1000:]}{checked.stderr[-1000:]}")


@dataclass(frozen=True, slots=True)
class Outage:
    """From the order to stop until somebody could sign in again."""

    way: str
    stopped: float
    back: float
    served: float  # seconds from then to the first answer to a request that was begun after it


def _restart(cluster: Cluster, load: Load, times: int, *, long: bool) -> list[Outage]:
    chance = random.Random(50)
    load.wait_for_all_after(time.monotonic())
    outages = []
    ways = [list(WAYS)[number % len(WAYS)] for number in range(times)]
    for number, way in enumerate(ways):
        time.sleep(chance.uniform(0.2, 0.7))
        stopped = time.monotonic()
        cluster.stop(WAYS[way])
        is_long = long and number == times // 2
        time.sleep(LONG_OUTAGE if is_long else chance.uniform(0, 1.5))
        cluster.start()
        back = time.monotonic()
        outages.append(Outage(way, stopped, back, load.wait_for_all_after(back)))
    return outages


# --- The platform -----------------------------------------------------------------------------
def _fill() -> tuple[list[str], int]:
    """Migrate and fill the database; the tokens of its customers, and what they exchange."""
    import django

    django.setup()
    from django.core.management import call_command
    from django.db import connections

    from bench import fixture
    from catalog.models import Product

    call_command("migrate", verbosity=0)
    fixture.fill(people=PEOPLE, with_ledger=8, draws_each=4, products=8)
    tokens = [one.token for one in fixture.signed_in(most=PEOPLE)]
    product_id = Product.objects.get(name=fixture.HOT_PRODUCT).pk
    connections.close_all()
    made: Any = connections["default"]
    made.close_pool()
    return tokens, product_id


@contextmanager
def _platform(folder: Path) -> Iterator[tuple[programs.Program, subprocess.Popen[bytes]]]:
    port = programs.free_port()
    with (
        (folder / "worker.log").open("wb") as log,
        programs.running(
            programs.granian(port, workers=2),
            port=port,
            log=folder / "web.log",
            environment={},
        ) as web,
    ):
        worker = subprocess.Popen(
            [sys.executable, "manage.py", "worker"],
            cwd=programs.ROOT,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        try:
            yield web, worker
        finally:
            worker.terminate()
            try:
                worker.wait(programs.STOP_SECONDS)
            except subprocess.TimeoutExpired:
                worker.kill()
                worker.wait()


# --- What came of it --------------------------------------------------------------------------
def _say_and_check(load: Load, outages: list[Outage], *, say: Say) -> None:
    ways = Counter(one.way for one in outages)
    said = ", ".join(f"{many} by {way}" for way, many in ways.items())
    away = sorted(one.back - one.stopped for one in outages)
    served = sorted(one.served for one in outages)
    say(f"stopped and started {len(outages)} times: {said}")
    say(f"away for {away[0]:.1f} to {away[-1]:.1f} s, {away[len(away) // 2]:.1f} s in the middle")
    outcomes = Counter(one.outcome for one in load.answers)
    kinds = Counter(one.what for one in load.answers if one.outcome == "ok")
    each = ", ".join(f"{many} {what}" for what, many in sorted(kinds.items()))
    say(f"requests {len(load.answers)}: {outcomes['ok']} succeeded ({each})")
    say(f"refused with 1503: {outcomes['1503']}")
    others = {text: many for text, many in outcomes.items() if text not in {"ok", "1503"}}
    say(f"answered otherwise: {sum(others.values())} {others or ''}".rstrip())
    late = [one for one in load.answers if one.outcome == "1503" and _is_after(one, outages)]
    say(f"begun after it was back, and refused before the next stop: {len(late)}")
    say(
        f"first success after it was back: {served[len(served) // 2] * 1000:.0f} ms in the middle, "
        f"{served[-1] * 1000:.0f} ms at most"
    )
    slowest = max((one.ended - one.begun for one in load.answers), default=0.0)
    say(f"the slowest answer took {slowest:.1f} s")
    if others:
        raise DidNotHold(f"answers that were neither a success nor 1503: {others}")
    if late:
        raise DidNotHold(f"{len(late)} requests were refused though the server was back")
    met = [outage for outage in outages if any(_meets(one, outage) for one in load.answers)]
    if len(met) < len(outages):
        raise DidNotHold(f"nobody wanted anything in {len(outages) - len(met)} of the outages")


def _meets(one: Answer, outage: Outage) -> bool:
    """Whether a request was under way while the server was away."""
    return one.begun < outage.back and one.ended > outage.stopped


def _is_after(one: Answer, outages: list[Outage]) -> bool:
    """Whether a request was begun and answered while the server was there."""
    stops = [outage.stopped for outage in outages[1:]] + [float("inf")]
    return any(
        outage.back <= one.begun and one.ended < stop
        for outage, stop in zip(outages, stops, strict=True)
    )


def _rows(cluster: Cluster) -> dict[str, int]:
    """How many draws and orders there are."""
    tables = {"draw": "lottery_draw", "exchange": "catalog_order WHERE source = 'exchange'"}
    return {
        what: cluster.sql(f"SELECT count(*) FROM {table}", database=PLATFORM)[0][0]  # noqa: S608  ours
        for what, table in tables.items()
    }


def _check_rows(before: dict[str, int], after: dict[str, int], load: Load, *, say: Say) -> None:
    """What was acknowledged is there, and what was sent again was done once."""
    good = Counter(one.what for one in load.answers if one.outcome == "ok")
    for what in before:
        written = after[what] - before[what]
        say(f"{what}: {good[what]} acknowledged, {written} written")
        if written != good[what]:
            raise DidNotHold(f"{written} of {what} were written, {good[what]} acknowledged")
