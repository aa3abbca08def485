"""Measure the platform beside a peer that keeps the same promises.

    python -m bench [--rounds 3] [--seconds 3] [--full | --quick] [--only WORD ...]
    python -m bench --database URL --redis URL     on servers that are there, filled by somebody

Starts a PostgreSQL that keeps what it commits and a Redis, fills them, measures ours and the peer
in turns, checks all that was written (check_integrity), prints the ratios beside their goals, and
keeps the result in bench/results/. What is measured and how: docs/performance.md.
"""

import argparse
import logging
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from bench import pgbench, programs, report
from bench.sockets import allow_many_files
from bench.stage import Stage, durability, fsync_ms, production
from tests.servers import running_servers

PEOPLE, READERS, DRAWS_EACH, PRODUCTS = 10_000, 100, 60, 200
SIZES, SIZES_FULL = [1000, 3000], [1000, 3000, 5000]
LISTENERS, LISTENERS_FULL = 1000, 5000
WARM_UP_OF_MANY = 3.0  # seconds, until each of several processes has had some requests


@dataclass
class Run:
    """One run of the bench: what was asked for, and what the rounds found."""

    options: argparse.Namespace
    stage: Stage
    rounds: list[dict[str, dict[str, float]]] = field(default_factory=list)
    about: dict[str, Any] = field(default_factory=dict)

    def note(self, round_number: int, measure: str, found: dict[str, float]) -> None:
        """Keep what a round measured, and say it."""
        while len(self.rounds) <= round_number:
            self.rounds.append({})
        self.rounds[round_number][measure] = found
        shown = ", ".join(f"{name} {value:,.4g}" for name, value in found.items())
        print(f"  {round_number + 1}  {measure}: {shown}", flush=True)

    def wants(self, name: str) -> bool:
        """Whether a part was asked for."""
        return not self.options.only or any(word in name for word in self.options.only)


def main(arguments: Sequence[str]) -> int:
    options = _options(arguments)
    begun = time.monotonic()
    allow_many_files()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        environment = stack.enter_context(_servers(options, folder))
        # Before Django is set up: the settings read their environment once.
        os.environ.update(environment)
        run = Run(options, Stage(environment, folder))
        _fill(run)
        _measure(run)
        print(f"\nmeasured in {time.monotonic() - begun:.0f} s; checking what was written:")
        if options.database:
            print("  left to whoever brought the database: manage.py check_integrity")
        elif not _is_honest():
            return 1
    found = report.result(run.rounds, run.about)
    print(f"\n{report.table(found)}")
    measure, share = report.busiest_generator(run.rounds)
    print(f"\nthe load generator took at most {share:.0%} of a core ({measure})")
    if not (options.quick or options.only):
        print(f"\nkept in {report.write(found, label=options.label).relative_to(programs.ROOT)}")
    return 0


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3, help="of each measurement")
    parser.add_argument("--full", action="store_true", help="the long ones as well")
    parser.add_argument("--quick", action="store_true", help="small, to see that it works")
    parser.add_argument("--only", action="append", default=[], help="parts with this word")
    parser.add_argument("--database", help="measure on this one, filled, with its keys set")
    parser.add_argument("--redis", help="together with --database")
    parser.add_argument("--label", default="", help="ends the name of the result")
    options = parser.parse_args(arguments)
    if bool(options.database) != bool(options.redis):
        parser.error("--database and --redis belong together")
    if options.quick:
        options.rounds, options.seconds = 1, 1.0
    return options


@contextmanager
def _servers(options: argparse.Namespace, folder: Path) -> Iterator[dict[str, str]]:
    data_dir = str(folder / "data")
    if options.database:
        yield production(options.database, options.redis, data_dir)
        return
    with running_servers(durable=True) as servers:
        yield production(servers.database_url, servers.redis_url, data_dir)


def _fill(run: Run) -> None:
    import django

    django.setup()
    logging.getLogger("httpx").setLevel(logging.WARNING)
    from django.core.management import call_command

    from bench import fixture

    quick, begun = run.options.quick, time.monotonic()
    run.about["load_before"] = os.getloadavg()[0]
    run.about["durability"] = durability(run.stage.database_url)
    run.about["fsync_ms"] = fsync_ms(run.stage.folder)
    print(f"{report.machine()}, load {run.about['load_before']:.1f}")
    print(f"durable: {run.about['durability']}; fdatasync of 8 KB {run.about['fsync_ms']:.2f} ms")
    if run.options.database:
        fixture.prepare_existing(people=PEOPLE)
    else:
        call_command("migrate", verbosity=0)
        fixture.fill(
            people=1_500 if quick else PEOPLE,
            with_ledger=20 if quick else READERS,
            draws_each=DRAWS_EACH,
            products=PRODUCTS,
        )
    fixture.refresh_statistics()
    _close_connections()
    print(f"filled in {time.monotonic() - begun:.0f} s", flush=True)


def _measure(run: Run) -> None:
    from bench.fixture import signed_in
    from bench.requests import generator_alone

    readers = signed_in(most=20 if run.options.quick else READERS)
    people = signed_in(first=len(readers), most=PEOPLE)
    _close_connections()
    if run.wants("pgbench"):
        _pgbench(run)
    run.about["generator"] = alone = generator_alone(run.stage, seconds=2)
    print(
        f"the load generator alone: {alone['rate']:,.0f}/s against a server that does nothing, "
        f"at {alone['generator_share']:.0%} of a core",
        flush=True,
    )
    _http(run, people, readers)
    if run.wants("sockets"):
        _sockets(run, people)
    _alone(run, people)


def _http(run: Run, people: list[Any], readers: list[Any]) -> None:
    from bench.requests import Requests

    with run.stage.http():
        requests = Requests(run.stage, people, readers)
        is_all = run.wants("http")
        rows = [row for row in requests.rows() if is_all or run.wants(row[0].measure)]
        for number in range(run.options.rounds):
            for row in rows:
                # Whoever was measured first in one round is the last in the next.
                for request in row if number % 2 == 0 else reversed(row):
                    found = requests.measure(request, seconds=run.options.seconds)
                    run.note(number, request.measure, found)


def _sockets(run: Run, people: list[Any]) -> None:
    from bench import listening

    options, stage = run.options, run.stage
    sizes = SIZES_FULL if options.full else SIZES
    listeners = LISTENERS_FULL if options.full else LISTENERS
    if options.quick:
        sizes, listeners = [300, 600], 300
    with (
        stage.serving(listening.OURS, programs.sockets),
        stage.serving(listening.PEERS, programs.peer, PEER_HEARS=listening.TELLING),
        stage.serving(listening.DRAWING, programs.peer),
    ):
        for number in range(options.rounds):
            names = [listening.OURS, listening.PEERS]
            if number % 2:
                names.reverse()
            for name in names:
                found = listening.measure(stage, name, people, sizes=sizes)
                for measure, figures in found.items():
                    run.note(number, measure, figures)
            for name in names:
                figures = listening.measure_points(
                    stage, name, people, sockets=listeners, seconds=2 * options.seconds
                )
                run.note(number, listening.measure_name("points updates", name), figures)


def _alone(run: Run, people: list[Any]) -> None:
    from bench import alone
    from bench.requests import Requests, load

    options, stage = run.options, run.stage
    if run.wants("start"):
        run.note(0, "start", alone.measure_start())
    if not options.full:
        return
    if run.wants("processes"):
        job = {**Requests(stage, people, []).draw_job(), "seconds": options.seconds}
        job["warm_up"] = WARM_UP_OF_MANY
        for number in range(options.rounds):
            for many in (1, 4) if number % 2 == 0 else (4, 1):
                command = partial(programs.granian, workers=many)
                with stage.serving(f"ours-{many}", command) as program:
                    name = f"draw, {many} process{'es' if many > 1 else ''}"
                    run.note(number, name, load(stage, program, job))
    if run.wants("sqlite"):
        send = partial(load, stage)
        run.note(0, "sqlite", alone.measure_draws(send, seconds=options.seconds))


def _pgbench(run: Run) -> None:
    program = pgbench.program(run.stage.folder)
    if program is None or run.options.database:
        print("pgbench is not measured: it is not there, or the database is somebody's.")
        return
    address = pgbench.copy_database(run.stage.database_url)
    for number in range(run.options.rounds):
        for measure, script in pgbench.SCRIPTS.items():
            seconds = max(1, int(run.options.seconds))
            rate = pgbench.measure(
                program, address, script, seconds=seconds, folder=run.stage.folder
            )
            run.note(number, measure, {"rate": rate})


def _close_connections() -> None:
    from django.db import connections

    connections.close_all()
    if hasattr(connections["default"], "close_pool"):
        connections["default"].close_pool()


def _is_honest() -> bool:
    """Whether every check finds that ours and the peer wrote what they promise."""
    done = subprocess.run(
        [sys.executable, "manage.py", "check_integrity"], cwd=programs.ROOT, check=False
    )
    return done.returncode == 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
