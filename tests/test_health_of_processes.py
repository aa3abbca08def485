"""What fails in a running platform is named by /health of a server process, within 2 seconds.

One process does everything, another one answers requests alone and is asked. The storage is asked
by a beat, every 15 seconds: what that found out is in the answer, which comes as quickly as ever.
"""

import os
import shutil
import signal
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from bench import programs
from bench.alerts import small_file_system
from ops.tests.databases import wait_until
from tests import live
from tests.live import Platform
from tests.ways import Way, way_to

IN_TIME = 2  # seconds
CHANCES = 3  # of a machine that is busy with other tests
PLENTY = 60  # seconds
MIB = 1024**2
DISK = 512  # MiB of a small file system
ROOM, BELOW = 256, 16  # MiB: what is free beyond what is wanted, and what is missing later
MORE_ROOM = 4096  # on a disk that others fill as well
FILL = "fill"
BEHIND = {"DATABASE_URL": {"database"}, "REDIS_URL": {"cache", "channel_layer"}}
SILENT = """
from datetime import timedelta
from django.db.models import F
from ops.models import ProcessBeat
from ops.services.processes import SILENT_AFTER
parts = ("worker_seen_at", "scheduler_seen_at")
ProcessBeat.objects.update(**{part: F(part) - SILENT_AFTER for part in parts})
"""


@dataclass(kw_only=True)
class Stage:
    """Two processes of one platform, and the ways to its servers, by the name of their setting."""

    everything: Platform
    web: str  # the address of the other one
    data: Path
    least_free: int  # MiB
    ways: dict[str, Way]

    def asked(self) -> tuple[float, set[str]]:
        """How many seconds the answer took, and which parts fail."""
        begun = time.monotonic()
        answer = httpx.get(f"{self.web}/health", timeout=PLENTY)
        seconds = time.monotonic() - begun
        checks = answer.json()["checks"]
        found = {name for name, one in checks.items() if one["status"] != "ok"}
        assert answer.status_code == (503 if found else 200)
        return seconds, found

    def is_well(self) -> bool:
        return not self.asked()[1]

    def fails(self, *names: str) -> bool:
        return set(names) <= self.asked()[1]

    def answers_in_time(self) -> bool:
        return any(self.asked()[0] <= IN_TIME for _chance in range(CHANCES))


@contextmanager
def staged(data):
    with ExitStack() as running, pytest.MonkeyPatch.context() as patch:
        ways = {}
        for name in BEHIND:
            if address := os.environ.get(name):
                ways[name] = running.enter_context(way_to(address))
                patch.setenv(name, ways[name].address)
        is_small = running.enter_context(small_file_system(data, size=DISK))
        least = shutil.disk_usage(data).free // MIB - (ROOM if is_small else MORE_ROOM)
        everything = running.enter_context(live.platform(data, LEAST_FREE_DISK_MB=str(least)))
        port = programs.free_port()
        command = [*programs.granian(port)[:-1], "tests.an_hour_old:application"]
        environment = {**everything.environment, "DEBUG": "1", "PORT": str(port)}
        web = programs.running(command, port=port, log=data / "web.log", environment=environment)
        running.enter_context(web)
        address = f"http://127.0.0.1:{port}"
        yield Stage(everything=everything, web=address, data=data, least_free=least, ways=ways)


def test_each_part_that_fails_is_named_in_time(tmp_path):
    with staged(tmp_path) as stage:
        wait_until(stage.is_well, PLENTY)
        for name in stage.ways:
            assert a_server_hangs(stage, name), f"no answer in time without {name}"
        the_storage_is_gone_and_the_disk_full(stage)
        the_only_worker_is_killed(stage)


def a_server_hangs(stage, name):
    """Whether the first answer from then on came in time; later ones wait for nothing."""
    for _chance in range(CHANCES):
        with stage.ways[name].held_up():
            seconds, found = stage.asked()
            assert found >= BEHIND[name]
        wait_until(stage.is_well, PLENTY)
        if seconds <= IN_TIME:
            return True
    return False


def the_storage_is_gone_and_the_disk_full(stage):
    media, aside = stage.data / "media", stage.data / "aside"
    media.rename(aside)
    media.touch()

    def both_are_named():
        fill_the_disk(stage)
        return stage.fails("storage", "disk")

    wait_until(both_are_named, PLENTY)
    assert stage.answers_in_time()
    (stage.data / FILL).unlink()
    assert not stage.fails("disk")
    media.unlink()
    aside.rename(media)


def fill_the_disk(stage):
    """Take what is free beyond what is wanted: again, where others gave something back."""
    fill = stage.data / FILL
    fill.touch()
    too_much = shutil.disk_usage(stage.data).free - (stage.least_free - BELOW) * MIB
    if too_much > 0:
        with fill.open("r+b") as file:
            os.posix_fallocate(file.fileno(), fill.stat().st_size, too_much)


def the_only_worker_is_killed(stage):
    stage.everything.stop(signal.SIGKILL)
    done = stage.everything.manage("shell", "--no-imports", "-c", SILENT)
    assert done.returncode == 0, done.stderr
    assert stage.fails("worker", "scheduler")
    assert stage.answers_in_time()
