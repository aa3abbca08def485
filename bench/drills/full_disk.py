"""The disk is full while a backup is made, and while one is restored: nothing half is left.

The folder of backups is a small file system in memory, really full but for so much: nothing, and
parts of what is wanted. Each time the command has to end with a status that is not 0 and one line,
nothing may lie under a final name, the older backups have to be whole, and the failure is an event
by which the shipped rule raises an alert. It takes the right to mount; where nobody has it, this
drill says so and tries nothing.
"""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from bench import programs
from bench.drills import DidNotHold, Say
from bench.drills.cluster import IMMEDIATE, PLATFORM, Cluster, clusters, running
from bench.drills.mounts import fill, may_mount, small_disk
from bench.stage import production

MEGABYTES = 64
# Of what a backup takes on its way, so much is free.
SHARES, SHARES_SMALL = (0.0, 0.02, 0.2, 0.5, 0.8, 0.95), (0.6,)
LOGGED = re.compile(r"\d{4}-|\{")  # as people read it, and as JSON in production
ALERT = """
from django.utils import timezone
from ops.models import Alert, OperationalEvent
from ops.monitoring.evaluation import evaluate
evaluate(now=timezone.now())
raised = Alert.objects.filter(rule__slug="backup-failed", resolved_at__isnull=True).count()
print(OperationalEvent.objects.filter(kind="backup_failed").count(), raised)
"""


@dataclass(frozen=True, slots=True)
class Scene:
    """A platform whose backups lie on a small disk."""

    name: str
    environment: dict[str, str]
    disk: Path

    def manage(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """Run a command, whatever comes of it."""
        return subprocess.run(
            [sys.executable, "manage.py", *arguments],
            cwd=programs.ROOT,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )

    def must(self, *arguments: str) -> str:
        """Run a command that has to go well."""
        done = self.manage(*arguments)
        if done.returncode:
            raise DidNotHold(f"{self.name}, {arguments[0]}: {done.stdout}{done.stderr[-1500:]}")
        return done.stdout

    def identifiers(self) -> list[str]:
        """What lies there under the name of a backup, whole or not."""
        return sorted(path.name for path in self.disk.glob("2*"))

    def backup(self) -> str:
        """Make one."""
        before = set(self.identifiers())
        self.must("backup", "--full", "--no-media")
        (made,) = set(self.identifiers()) - before
        return made


def drill(*, small: bool, say: Say) -> None:
    if not may_mount():
        say("nothing can be mounted here: not tried")
        return
    with clusters() as folder, ExitStack() as stack:
        (folder / "keys").mkdir()
        keys = production("", "", str(folder / "keys"))
        sqlite = _scene(folder, "SQLite", {**keys, "DATABASE_URL": "", "DEBUG": "1"}, stack=stack)
        _try(sqlite, SHARES_SMALL if small else SHARES, say)
        if small:
            return
        cluster = Cluster(folder / "postgresql", programs.free_port())
        stack.enter_context(running(cluster))
        cluster.make()
        cluster.sql(f"ALTER ROLE {PLATFORM} CREATEDB")
        tools = {"DATABASE_URL": cluster.url, "PG_TOOLS_DIR": str(cluster.programs)}
        dump = _scene(folder, "PostgreSQL", {**keys, **tools}, stack=stack)
        _try(dump, SHARES, say)
        left = cluster.sql("SELECT datname FROM pg_database WHERE datname LIKE 'platform_%'")
        if left:
            raise DidNotHold(f"databases are left: {left}")
        _full_server(folder, dump, say)


def _scene(folder: Path, name: str, environment: dict[str, str], *, stack: ExitStack) -> Scene:
    data, disk = folder / f"data of {name}", folder / f"backups of {name}"
    data.mkdir(mode=0o700)
    disk.mkdir(mode=0o700)
    stack.enter_context(small_disk(disk, megabytes=MEGABYTES))
    own = {"DATA_DIR": str(data), "BACKUP_DIR": str(disk), "LANGUAGE_CODE": "en"}
    scene = Scene(name, {**os.environ, **environment, **own}, disk)
    scene.must("migrate", "--verbosity=0")
    return scene


def _try(scene: Scene, shares: tuple[float, ...], say: Say) -> None:
    older = [scene.backup(), scene.backup()]
    for what, arguments in (
        ("backup", ("backup", "--full", "--no-media")),
        ("restore_backup", ("restore_backup", older[0], "--yes")),
    ):
        room = _room(scene, what)
        for share in shares:
            with _full(scene.disk, but=int(room * share)):
                done = scene.manage(*arguments)
                _check(
                    scene, older, done, what=f"{what} with {share:.0%} of {room / 2**20:.1f} MiB"
                )
        for identifier in older:
            scene.must("verify_backup", identifier)
        said = _said_in_one_line(done, what)
        say(f"{scene.name}, {what}: refused {len(shares)} times, such as: {said}")
    counted = scene.must("shell", "--no-imports", "-c", ALERT).split()[-2:]
    failures, raised = map(int, counted)
    say(f"{scene.name}: {failures} failures are events, {raised} alert is raised; older ones whole")
    if failures < len(shares) or raised != 1:
        raise DidNotHold(f"{scene.name}: {failures} events, {raised} alerts")
    # With room again, the next one is a backup like any other.
    scene.must("verify_backup", scene.backup())


def _check(
    scene: Scene, older: list[str], done: "subprocess.CompletedProcess[str]", *, what: str
) -> None:
    _said_in_one_line(done, f"{scene.name}, {what}")
    if scene.identifiers() != older:
        raise DidNotHold(f"{scene.name}, {what}: there is {scene.identifiers()}")
    if left := [path for path in (scene.disk / ".work").rglob("*") if path.is_file()]:
        raise DidNotHold(f"{scene.name}, {what}: left are {left}")


def _said_in_one_line(done: "subprocess.CompletedProcess[str]", what: str) -> str:
    """What a command that refused said, beside the line of its log."""
    lines = [one for one in done.stderr.strip().splitlines() if not LOGGED.match(one)]
    if not done.returncode or len(lines) != 1:
        raise DidNotHold(f"{what}: {done.returncode}, {done.stdout}{done.stderr}")
    return lines[0]


def _room(scene: Scene, what: str) -> int:
    """How many bytes the command takes on its way, and fails with less.

    A dump is packed as it comes; SQLite is copied first, and whatever is restored is unpacked.
    """
    manifest = scene.disk / scene.identifiers()[0] / "manifest.json"
    pieces = json.loads(manifest.read_bytes())["pieces"]
    if what == "backup" and scene.name == "PostgreSQL":
        return sum(int(piece["size"]) for piece in pieces)
    return next(int(piece["plain_size"]) for piece in pieces if piece["name"] == "database")


@contextmanager
def _full(disk: Path, *, but: int) -> Iterator[None]:
    """Leave so many bytes free, and give all back afterwards."""
    filled = fill(disk)
    os.truncate(filled, max(filled.stat().st_size - but, 0))
    try:
        yield
    finally:
        filled.unlink()


def _full_server(folder: Path, dump: Scene, say: Say) -> None:
    """The disk of the server is full while a backup is restored there."""
    cluster = Cluster(
        folder / "full", programs.free_port(), max_wal_size="64MB", min_wal_size="32MB"
    )
    cluster.data.mkdir(mode=0o700)
    os.chown(cluster.data, cluster.account.uid, cluster.account.gid)
    with small_disk(cluster.data, megabytes=160), running(cluster):
        cluster.make()
        cluster.sql(f"ALTER ROLE {PLATFORM} CREATEDB")
        scene = replace(dump, environment={**dump.environment, "DATABASE_URL": cluster.url})
        scene.must("migrate", "--verbosity=0")
        with _full(cluster.data, but=12 << 20):
            done = scene.manage("restore_backup", scene.identifiers()[0], "--yes")
        said = _said_in_one_line(done, "a full server")
        say(f"PostgreSQL, its own disk full: refused, {said}")
        # Where its log found no room it has ended by itself; staff start it once there is some.
        cluster.stop(IMMEDIATE)
        cluster.start()
        ((rows,),) = cluster.sql("SELECT count(*) FROM django_migrations", database=PLATFORM)
        scene.must("backup", "--full", "--no-media")  # which removes what was left
        left = cluster.sql("SELECT datname FROM pg_database WHERE datname LIKE 'platform_%'")
        if left or not rows:
            raise DidNotHold(f"left are {left}, and the live one has {rows} migrations")
