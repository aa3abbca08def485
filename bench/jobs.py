"""A drill: workers are killed while jobs are due, and every due run happens once all the same.

    python -m bench.jobs [--workers 4] [--runs 200] [--seconds 300] [--kill-every 20] [--lease 30]

Starts a PostgreSQL of its own and so many real `manage.py worker`, each with as many jobs as there
are runs, one of which is due every now and then. A run takes half a second to six. Every so often a
worker that is at one is killed with `kill -9`, and a new one takes its place. At the end it is said
what the database and what the jobs themselves know: which due runs happened, which were lost with
their worker and taken up again, whether any run was done twice or two at once, and how late they
were. The exit status is 1 when a due run is missing, or was done twice or by two at once.
"""

import argparse
import os
import random
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg

from tests.servers import running_servers

ROOT = Path(__file__).resolve().parent.parent
START_SECONDS = 120
STOP_SECONDS = 30
EVERY = timedelta(days=1)  # each job is due once in a drill
NAME = "drill {:03}"
STARTED = "Background work has started."


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is tried; all but the counts in seconds."""

    workers: int = 4
    runs: int = 200
    seconds: float = 300
    kill_every: float = 20
    lease: int = 30


@dataclass(kw_only=True)
class Figures:
    """What came of it."""

    due: int
    kills: int = 0
    done: int = 0
    lost: int = 0  # runs whose worker was killed; each was taken up again
    missing: list[str] = field(default_factory=list)
    twice: list[str] = field(default_factory=list)
    two_at_once: list[str] = field(default_factory=list)
    late: list[float] = field(default_factory=list)  # seconds from due to the run that was done

    @property
    def holds(self) -> bool:
        """Whether every due run happened, none twice, none two at once."""
        return self.done == self.due and not (self.missing or self.twice or self.two_at_once)

    def lines(self) -> list[str]:
        """The figures for people."""
        late = sorted(self.late) or [0.0]
        middle = statistics.median(late)
        return [
            f"runs due          {self.due}",
            f"done              {self.done}",
            f"workers killed    {self.kills}",
            f"lost, taken up    {self.lost}",
            f"missing           {len(self.missing)} {' '.join(self.missing)}".rstrip(),
            f"done twice        {len(self.twice)} {' '.join(self.twice)}".rstrip(),
            f"two at once       {len(self.two_at_once)} {' '.join(self.two_at_once)}".rstrip(),
            f"late, in seconds  median {middle:.1f}, most {late[-1]:.1f}",
        ]


def main(arguments):
    parser = argparse.ArgumentParser(prog="python -m bench.jobs")
    for name, kind, default in (
        ("workers", int, Plan.workers),
        ("runs", int, Plan.runs),
        ("seconds", float, Plan.seconds),
        ("kill-every", float, Plan.kill_every),
        ("lease", int, Plan.lease),
    ):
        parser.add_argument(f"--{name}", type=kind, default=default)
    parser.add_argument("--work", help=argparse.SUPPRESS)  # the file in which runs are noted
    options = parser.parse_args(arguments)
    if options.work:
        return work(runs=options.runs, notes=options.work)
    plan = Plan(
        workers=options.workers,
        runs=options.runs,
        seconds=options.seconds,
        kill_every=options.kill_every,
        lease=options.lease,
    )
    print(plan)
    with running_servers() as servers:
        figures = drill(plan, environment={**os.environ, **servers.environment})
    print("\n".join(figures.lines()))
    return 0 if figures.holds else 1


# --- The drill ------------------------------------------------------------------------------------
def drill(plan: Plan, *, environment: Mapping[str, str]) -> Figures:
    """Carry out a plan on the PostgreSQL of this environment, which has no platform yet."""
    environment = {
        **environment,
        "JOB_LEASE_SECONDS": str(plan.lease),
        "PYTHONUNBUFFERED": "1",
        "LANGUAGE_CODE": "en",
    }
    subprocess.run(
        [sys.executable, "manage.py", "migrate", "--verbosity=0"],
        cwd=ROOT, env=environment, check=True,
    )  # fmt: skip
    with (
        tempfile.TemporaryDirectory(prefix="drill-") as folder,
        psycopg.connect(environment["DATABASE_URL"], autocommit=True) as database,
    ):
        notes = Path(folder) / "notes"
        notes.touch()
        crew = Crew(plan, environment, Path(folder))
        try:
            crew.hire(plan.workers)
            begun = datetime.now(UTC) + timedelta(seconds=1)
            _plan_runs(database, plan, begun)
            _kill_now_and_then(database, crew, plan)
            _wait_for_the_last(database, plan)
        finally:
            crew.dismiss()
        return _figures(database, plan, crew=crew, noted=_read(notes))


class Crew:
    """The workers of a drill: real processes, replaced when they are killed."""

    def __init__(self, plan, environment, folder):
        self.plan, self.environment, self.folder = plan, environment, folder
        self.alive: dict[int, subprocess.Popen[bytes]] = {}
        self.killed: dict[int, float] = {}  # when, by their process id

    def hire(self, count):
        """Start so many and wait until they work."""
        started = [self._start() for _number in range(count)]
        deadline = time.monotonic() + START_SECONDS
        for process, log in started:
            while STARTED not in log.read_text():
                assert process.poll() is None, log.read_text()
                assert time.monotonic() < deadline, log.read_text()
                time.sleep(0.1)

    def _start(self):
        log = self.folder / f"worker{len(self.alive) + len(self.killed)}.log"
        command = [
            sys.executable, "-m", "bench.jobs",
            "--runs", str(self.plan.runs), "--work", str(self.folder / "notes"),
        ]  # fmt: skip
        with log.open("wb") as out:
            process = subprocess.Popen(
                command, cwd=ROOT, env=self.environment, stdout=out, stderr=subprocess.STDOUT
            )
        self.alive[process.pid] = process
        return process, log

    def kill(self, pid):
        """Kill one as `kill -9` does, and let another one start in its place."""
        process = self.alive.pop(pid)
        process.kill()
        process.wait()
        self.killed[pid] = time.time()
        self._start()

    def dismiss(self):
        """Stop all that are left as an operator does."""
        for process in self.alive.values():
            process.terminate()
        for process in self.alive.values():
            with suppress(subprocess.TimeoutExpired):
                process.wait(STOP_SECONDS)
            if process.poll() is None:
                process.kill()
                process.wait()


def _plan_runs(database, plan, begun):
    """Say when each job is due: one after the other, evenly."""
    apart = timedelta(seconds=plan.seconds / plan.runs)
    with database.cursor() as cursor:
        for number in range(plan.runs):
            cursor.execute(
                "UPDATE ops_schedule SET next_due_at = %s WHERE job = %s",
                [begun + apart * number, NAME.format(number)],
            )
            assert cursor.rowcount == 1, NAME.format(number)


def _kill_now_and_then(database, crew, plan):
    """Kill a worker every so often until all is due: one that is at a run, where there is one."""
    begun = time.monotonic()
    for number in range(1, int(plan.seconds / plan.kill_every) + 1):
        time.sleep(max(0, begun + number * plan.kill_every - time.monotonic()))
        crew.kill(_one_at_work(database, crew.alive, within=plan.kill_every / 4))
    time.sleep(max(0, begun + plan.seconds - time.monotonic()))


def _one_at_work(database, alive, *, within):
    deadline = time.monotonic() + within
    while time.monotonic() < deadline:
        found = database.execute(
            "SELECT worker FROM ops_jobrun WHERE outcome = 'running' AND job LIKE 'drill %%'"
        ).fetchall()
        busy = [pid for (worker,) in found if (pid := int(worker.split(":")[1])) in alive]
        if busy:
            return random.choice(busy)
        time.sleep(0.05)
    return random.choice(list(alive))


def _wait_for_the_last(database, plan):
    """Wait until all is done, at most as long as two workers can be killed after each other."""
    deadline = time.monotonic() + 2 * plan.lease + START_SECONDS
    while time.monotonic() < deadline:
        (done,) = database.execute(
            "SELECT count(*) FROM ops_jobrun WHERE outcome = 'done' AND job LIKE 'drill %'"
        ).fetchone()
        if done >= plan.runs:
            return
        time.sleep(0.2)


# --- What came of it ------------------------------------------------------------------------------
def _figures(database, plan, *, crew, noted):
    rows = database.execute(
        "SELECT job, outcome, extract(epoch FROM started_at - due_at)::float "
        "FROM ops_jobrun WHERE job LIKE 'drill %'"
    ).fetchall()
    done = defaultdict(list)
    for job, outcome, late in rows:
        if outcome == "done":
            done[job].append(late)
    names = [NAME.format(number) for number in range(plan.runs)]
    return Figures(
        due=plan.runs,
        kills=len(crew.killed),
        done=sum(map(len, done.values())),
        lost=sum(outcome == "lost" for _job, outcome, _late in rows),
        missing=[name for name in names if name not in done or not _ends(noted[name])],
        twice=[name for name in names if len(done[name]) > 1 or _ends(noted[name]) > 1],
        two_at_once=[name for name in names if _overlap(noted[name], crew.killed)],
        late=[late for each in done.values() for late in each],
    )


def _read(notes):
    """What the jobs noted themselves: by job, the process, what, and when."""
    noted = defaultdict(list)
    for line in notes.read_text().splitlines():
        name, pid, what, moment = line.split("\t")
        noted[name].append((int(pid), what, float(moment)))
    return noted


def _ends(events):
    return sum(what == "ended" for _pid, what, _moment in events)


def _overlap(events, killed):
    """Whether one process had begun a run before another one had ended it, or was killed."""
    at_work: dict[int, float] = {}
    for pid, what, moment in sorted(events, key=lambda event: event[2]):
        if what == "ended":
            at_work.pop(pid, None)
            continue
        if any(killed.get(other, moment) >= moment for other in at_work):
            return True
        at_work[pid] = moment
    return False


# --- A worker -------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class Noted:
    """A job that notes when it began and ended, in one write each: no kill leaves half a line."""

    name: str
    seconds: float
    notes: str

    def __call__(self, *, now):
        self.note("begun")
        threading.Event().wait(self.seconds)
        self.note("ended")
        return 1

    def note(self, what):
        line = f"{self.name}\t{os.getpid()}\t{what}\t{time.time()}\n"
        file = os.open(self.notes, os.O_WRONLY | os.O_APPEND)
        try:
            os.write(file, line.encode())
        finally:
            os.close(file)


def work(*, runs, notes):
    """`manage.py worker`, with the jobs of the drill beside the platform's own."""
    os.environ["DJANGO_SETTINGS_MODULE"] = "config.settings"
    import django

    django.setup()
    from django.core.management import call_command
    from django.utils import timezone

    from ops.models import Schedule
    from ops.services.jobs import Job, jobs

    chance = random.Random(7)
    for number in range(runs):
        name = NAME.format(number)
        run = Noted(name, chance.uniform(0.5, 6), notes)
        jobs.register(name, Job(run=run, every=EVERY, label=name))
    # Due when the drill says so, and not because nobody has ever run them.
    later = timezone.now() + EVERY
    rows = [
        Schedule(job=name, timing=jobs[name].timing, next_due_at=later)
        for name in map(NAME.format, range(runs))
    ]
    Schedule.objects.bulk_create(rows, ignore_conflicts=True)
    call_command("worker")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
