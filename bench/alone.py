"""The platform as `make run` starts it, on SQLite, in one process: its start, its memory, draws."""

import tempfile
import time
from pathlib import Path
from typing import Any

from bench.programs import Program
from bench.requests import Failed
from bench.stage import production
from tests.live import Platform

IDLE_AFTER = 5  # seconds
PEOPLE = 16
MADE_UP = set(production("", "", ""))
# One point a draw: sixteen people with their welcome points draw for a while.
WHEELS = """
from bench.fixture import make_wheels
from catalog.models import Shop
make_wheels(Shop.objects.create(name="Bench"), cost=1)
"""


class _Without(Platform):
    """On SQLite and in memory, whatever the environment of the bench says."""

    def __init__(self, data_dir: Path) -> None:
        super().__init__(data_dir, {})
        for name in tuple(self.environment):
            if name in MADE_UP:
                del self.environment[name]
        # Empty, not absent: a `.env` file must not fill them in.
        self.environment |= {"DATABASE_URL": "", "REDIS_URL": "", "DEBUG": "1"}


def measure_start() -> dict[str, float]:
    """Seconds until it is healthy, the first time and the second; MB when it has nothing to do."""
    with tempfile.TemporaryDirectory() as folder:
        first, _memory = _started(Path(folder))
        second, memory = _started(Path(folder))
    return {"first_start_s": first, "second_start_s": second, "idle_mb": memory}


def _started(folder: Path) -> tuple[float, float]:
    running = _Without(folder)
    begun = time.monotonic()
    try:
        running.start()
        seconds = time.monotonic() - begun
        time.sleep(IDLE_AFTER)
        assert running.process is not None
        return seconds, Program(running.process.pid, running.port).memory()
    finally:
        _stop(running)


def measure_draws(load: Any, *, seconds: float) -> dict[str, float]:
    """Draws a second, one at a time and eight at once; how many of those were refused."""
    with tempfile.TemporaryDirectory() as folder:
        running = _Without(Path(folder))
        try:
            running.start()
            if (made := running.manage("shell", "-c", WHEELS)).returncode:
                raise Failed(made.stderr)
            people = [running.sign_in(f"138001380{n:02d}") for n in range(PEOPLE)]
            assert running.process is not None
            program = Program(running.process.pid, running.port)
            job = {
                "tokens": [person.token for person in people],
                "paths": ["/api/lottery/draw"],
                "body": "{}",
                "is_keyed": True,
                "seconds": seconds,
            }
            alone = load(program, {**job, "connections": 1})
            eight = load(program, {**job, "connections": 8})
        finally:
            for client in running.clients:
                client.http.close()
            _stop(running)
    # Whatever is refused ends the measurement, so that none was.
    return {
        "alone": alone["rate"],
        "eight": eight["rate"],
        "refused": 0,
        "p95": eight["p95"],
        "cpu_ms": alone["cpu_ms"],
    }


def _stop(running: Platform) -> None:
    if running.process and running.process.poll() is None:
        running.stop()
