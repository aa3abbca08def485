"""From nothing to a platform that serves: a large backup is restored, checked, and started on.

The large set of the bench (bench/large_set.py: ledgers with their causes, honest in every row) is
backed up. Then there is an empty database on a server that keeps what it commits, and the backup:
`restore_backup` reads all of it, restores it to the side, counts its rows, runs all of
`check_integrity` on it and lets it take the live one's place; then a server is started. The set is
filled once and kept in DRILL_CACHE (a folder beside other temporary ones, if it is not set).
"""

import hashlib
import os
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import httpx

from bench import programs
from bench.drills import DidNotHold, Say
from bench.drills.cluster import FORGETFUL, PLATFORM, Cluster, clusters, running
from bench.stage import KEYS, production

# Of one person there are ten entries of the ledger, and as many rows of other tables.
LARGE, MIDDLE, SMALL = 500_000, 100_000, 300
IN_ALL, TO_READY = 150.0, 120.0  # seconds
# What the first of them is of; restore_backup reads all of the backup before, and swaps after it.
TO_THE_SIDE = ("restoring", "counting rows", "checks of integrity")
PATIENCE = 1_800.0
START_PATIENCE = 60.0
# As one would set up a server of two cores and 8 GB; it keeps what it commits.
SERVER = {
    "shared_buffers": "1GB",
    "maintenance_work_mem": "256MB",
    "max_wal_size": "4GB",
    "checkpoint_timeout": "15min",
}


@dataclass(frozen=True, slots=True)
class Filled:
    """A backup of so many people's set, and the DATA_DIR that has it and its keys."""

    people: int
    data: Path
    seconds: float  # of filling and backing up; 0 where it was there already

    @property
    def identifier(self) -> str:
        """The backup."""
        (found,) = (path.parent.name for path in self.data.glob("backups/*/manifest.json"))
        return found


def drill(*, small: bool, say: Say) -> None:
    if small:
        _from_nothing(SMALL, say, small=True)
        return
    _from_nothing(MIDDLE, say, to_ready=TO_READY)
    _from_nothing(LARGE, say, in_all=IN_ALL)


def _from_nothing(
    people: int,
    say: Say,
    *,
    small: bool = False,
    in_all: float | None = None,
    to_ready: float | None = None,
) -> None:
    with ExitStack() as stack:
        folder = stack.enter_context(clusters())
        cache = folder / "cache" if small else _cache()
        filled = _filled(cache, people)
        if filled.seconds:
            say(f"{people:,} people filled and backed up, once for all: {filled.seconds:.0f} s")
        cluster = Cluster(folder / "postgresql", programs.free_port(), **SERVER)
        stack.enter_context(running(cluster))
        cluster.make()
        cluster.sql(f"ALTER ROLE {PLATFORM} CREATEDB")
        environment = _environment(cluster, filled.data)

        load = os.getloadavg()[0]
        begun = time.monotonic()
        said = _manage(
            environment, "restore_backup", filled.identifier, "--yes", "--no-backup", "--no-media"
        )
        ready = _until_ready(folder, environment, since=begun)
        rows, size = _facts(cluster)
        say(
            f"{people:,} people, {rows:,} entries of the ledger with their causes, "
            f"{size / 2**20:,.0f} MiB of database (load of the machine before: {load:.1f})"
        )
        steps = _steps(said)
        for name, seconds in steps.items():
            say(f"restore_backup, {name}: {seconds:.1f} s")
        to_the_side = sum(steps[name] for name in TO_THE_SIDE)
        goal = f" (promised: at most {in_all:.0f} s)" if in_all else ""
        say(f"restored to the side, and all checked there: {to_the_side:.1f} s{goal}")
        goal = f" (promised: at most {to_ready:.0f} s)" if to_ready else ""
        say(f"from an empty database to /api/ready: {ready:.1f} s{goal}")
        begun = time.monotonic()
        _manage(environment, "backup", "--full", "--no-media", f"--to={folder / 'again'}")
        say(f"backed up again in {time.monotonic() - begun:.1f} s")
    if in_all and to_the_side > in_all:
        raise DidNotHold(f"restored and checked in {to_the_side:.1f} s")
    if to_ready and ready > to_ready:
        raise DidNotHold(f"from nothing to ready in {ready:.1f} s")


def _steps(said: str) -> dict[str, float]:
    """The seconds of each step, as restore_backup says them, by name."""
    found = (line.strip().rsplit(": ", 1) for line in said.splitlines() if line.startswith("  "))
    return {name: float(seconds.removesuffix(" s")) for name, seconds in found}


def _facts(cluster: Cluster) -> tuple[int, int]:
    ((rows, size),) = cluster.sql(
        "SELECT count(*), pg_database_size(current_database()) FROM accounts_pointsentry",
        database=PLATFORM,
    )
    return rows, size


# --- The set --------------------------------------------------------------------------------------
def _cache() -> Path:
    named = os.environ.get("DRILL_CACHE")
    return Path(named) if named else Path(tempfile.gettempdir()) / "drill-cache"


def _filled(cache: Path, people: int) -> Filled:
    """A backup of the set, from the cache if it was made by the same migrations."""
    names = sorted(str(path.relative_to(programs.ROOT)) for path in _migrations())
    digest = hashlib.sha256("\n".join(names).encode()).hexdigest()[:8]
    final = cache / f"{people}-{digest}"
    if final.exists():
        return Filled(people, final, 0.0)
    cache.mkdir(mode=0o700, parents=True, exist_ok=True)
    begun = time.monotonic()
    with clusters() as folder, tempfile.TemporaryDirectory(dir=cache) as draft:
        options = {**FORGETFUL, **SERVER, "maintenance_work_mem": "512MB"}
        cluster = Cluster(folder / "postgresql", programs.free_port(), **options)
        with running(cluster):
            cluster.make()
            environment = _environment(cluster, Path(draft))
            people_said, products = f"--people={people}", f"--products={max(people // 100, 80)}"
            _run(environment, "-m", "bench.data", people_said, products)
            _manage(environment, "backup", "--full", "--no-media")
        Path(draft).rename(final)
        Path(draft).mkdir()  # for whoever removes it
    return Filled(people, final, time.monotonic() - begun)


def _migrations() -> list[Path]:
    return [path for path in programs.ROOT.glob("*/migrations/*.py") if path.name != "__init__.py"]


# --- The platform ---------------------------------------------------------------------------------
def _environment(cluster: Cluster, data: Path) -> dict[str, str]:
    """Production, with the keys of whoever filled the set."""
    kept = data / "keys"
    said = production(cluster.url, "", str(data))
    secrets = {name: said[name] for name in KEYS}
    if kept.exists():
        lines = kept.read_text(encoding="ascii").splitlines()
        secrets = dict(line.split("=", 1) for line in lines)
    else:
        kept.write_text("\n".join(f"{name}={one}" for name, one in secrets.items()), "ascii")
    tools = {"PG_TOOLS_DIR": str(cluster.programs), "LANGUAGE_CODE": "en"}
    return {**os.environ, **said, **secrets, **tools}


def _manage(environment: dict[str, str], *arguments: str) -> str:
    return _run(environment, "manage.py", *arguments)


def _run(environment: dict[str, str], *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=programs.ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
    )
    if done.returncode:
        raise DidNotHold(f"{' '.join(arguments)} failed: {done.stdout[-500:]}{done.stderr[-1500:]}")
    return done.stdout


def _until_ready(folder: Path, environment: dict[str, str], *, since: float) -> float:
    port = programs.free_port()
    with programs.running(
        programs.granian(port), port=port, log=folder / "web.log", environment=environment
    ):
        deadline = time.monotonic() + START_PATIENCE
        while time.monotonic() < deadline:
            answer = httpx.get(f"http://{programs.LOOPBACK}:{port}/api/ready")
            if answer.status_code == 200:
                return time.monotonic() - since
            time.sleep(0.1)
    raise DidNotHold(f"/api/ready says {answer.text[:200]}")
