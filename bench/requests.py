"""What HTTP is measured by: which request goes to which server, and what comes of it."""

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import count
from typing import Any

import httpx

from bench.fixture import HOT_PRODUCT, HOT_WHEEL, SignedIn
from bench.load import Job
from bench.programs import LOOPBACK, ROOT, Program
from bench.stage import Stage
from catalog.models import Product
from lottery.models import Wheel

# The cheapest signed-in request of ours: one query, which finds nothing.
FLOOR_PATH = "/api/user/points?source=expire"
DEPTH = 4  # pages of a ledger that are read
SECONDS_A_DAY = 86_400


class Failed(RuntimeError):
    """Something was refused that had to succeed."""


@dataclass(frozen=True, slots=True)
class Request:
    """One kind of request to one server."""

    measure: str
    program: str
    job: dict[str, Any]


class Requests:
    """All kinds, on the people and the rows of a database."""

    def __init__(self, stage: Stage, people: list[SignedIn], readers: list[SignedIn]) -> None:
        self.stage = stage
        self.people = people
        self.readers = readers
        self._first = count(0, len(people) // 7 + 1)

    def rows(self) -> Iterator[tuple[Request, ...]]:
        """The requests of each row of the table: ours first, then whom it is compared with."""
        draw = self.draw_job()
        tokens = draw["tokens"]
        steps = {**draw, "paths": ["/api/lottery/draw/steps"]}
        yield (
            Request("draw", "ours", draw),
            Request("draw: peer, steps", "peer", steps),
            Request("draw: peer, few", "peer", draw),
        )
        for name, path in (("config", "/api/lottery/config"), ("mall", "/api/exchange/products")):
            for suffix, who in (("", []), (", signed in", tokens)):
                job = {"paths": [path], "tokens": who}
                yield self._both(f"{name}{suffix}", job)
        yield (
            Request("ledger", "ours", self._ledger("ours")),
            Request("ledger: peer", "peer", self._ledger("peer")),
        )
        yield (
            Request("floor", "ours", {"paths": [FLOOR_PATH], "tokens": tokens}),
            Request("floor: peer", "peer", {"paths": ["/api/empty"], "tokens": tokens}),
        )
        wheel = Wheel.objects.get(name=HOT_WHEEL)
        yield self._both("hot prize", {**draw, "body": json.dumps({"wheel_id": wheel.pk})})
        product = Product.objects.get(name=HOT_PRODUCT)
        exchange = {"product_id": product.pk, "quantity": 1}
        paths = ["/api/exchange/submit"]
        yield self._both("hot product", {**draw, "body": json.dumps(exchange), "paths": paths})

    def draw_job(self) -> dict[str, Any]:
        """One draw on the default wheel for everybody in turn, each with a key of its own."""
        tokens = [one.token for one in self.people]
        return {"tokens": tokens, "body": "{}", "is_keyed": True, "paths": ["/api/lottery/draw"]}

    def _both(self, name: str, job: dict[str, Any]) -> tuple[Request, ...]:
        return Request(name, "ours", job), Request(f"{name}: peer", "peer", job)

    def _ledger(self, program: str) -> dict[str, Any]:
        """Pages of the readers' ledgers, from the first to the fourth, each with its reader.

        Raises Failed when a page is refused.
        """
        paths, tokens = [], []
        base = f"http://{LOOPBACK}:{self.stage.programs[program].port}"
        with httpx.Client(base_url=base, timeout=30) as client:
            for reader in self.readers:
                path: str | None = "/api/user/points"
                for _depth in range(DEPTH):
                    if path is None:
                        break
                    paths.append(path)
                    tokens.append(reader.token)
                    headers = {"Authorization": f"Bearer {reader.token}"}
                    answer = client.get(path, headers=headers)
                    if answer.status_code != httpx.codes.OK:
                        raise Failed(f"{program} {path}, person {reader.person_id}: {answer.text}")
                    following = answer.json()["data"]["next"]
                    path = following and f"/api/user/points?cursor={following}"
        return {"paths": paths, "tokens": tokens}

    def measure(self, request: Request, *, seconds: float) -> dict[str, float]:
        """Send one kind of request for so long. Raises Failed when any of them failed."""
        program = self.stage.programs[request.program]
        return load(
            self.stage, program, {"first": next(self._first), **request.job, "seconds": seconds}
        )


def load(stage: Stage, program: Program, job: dict[str, Any]) -> dict[str, float]:
    """Let the generator, a process of its own, send a job to a program; what it cost whom."""
    whole = asdict(Job(port=program.port, **job))
    cpu, behind = program.cpu(), stage.servers_cpu()
    done = subprocess.run(
        [sys.executable, "-m", "bench.load"],
        cwd=ROOT,
        input=json.dumps(whole),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise Failed(done.stderr)
    cpu, behind = program.cpu() - cpu, stage.servers_cpu() - behind
    found = json.loads(done.stdout)
    if found["failures"]:
        raise Failed(f"{whole['paths'][0]}: refused {found['failures']} of {found['answered']}")
    each, all_of_it = cpu / found["answered"], (cpu + behind) / found["answered"]
    return {
        **{name: found[name] for name in ("rate", "p50", "p95", "p99", "max", "generator_share")},
        "cpu_ms": each * 1000,
        "all_cpu_ms": all_of_it * 1000,
        "a_day_on_two_cores": 2 * SECONDS_A_DAY / all_of_it if all_of_it else 0.0,
        "server_share": cpu / found["whole_seconds"],
    }


def generator_alone(stage: Stage, *, seconds: float) -> dict[str, float]:
    """What the generator reaches against a server that does nothing."""

    def trivial(port: int) -> list[str]:
        return [sys.executable, "-m", "bench.trivial", str(port)]

    with stage.serving("trivial", trivial) as program:
        found = load(stage, program, {"paths": ["/"], "seconds": seconds})
    return {name: found[name] for name in ("rate", "generator_share", "server_share")}
