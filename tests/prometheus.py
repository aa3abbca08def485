"""Debian's Prometheus: its tool, and a server of one's own that is asked over HTTP."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx

from tests.kept_servers import LOOPBACK, Account, ServerFailed, serving

LOOK_AGAIN_SECONDS = 0.1


def program(name: str) -> str:
    """Where promtool or prometheus is; `.ci/run` installs both."""
    found = shutil.which(name)
    if found is None:
        raise ServerFailed(f"{name} is not installed (Debian: prometheus).")
    return found


def promtool(*arguments: str | Path, folder: Path) -> tuple[int, str]:
    """The exit status of promtool in this folder, and all that it said."""
    finished = subprocess.run(
        [program("promtool"), *arguments],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return finished.returncode, finished.stdout


class Prometheus:
    """A running server, asked as Grafana asks it."""

    def __init__(self, port: int) -> None:
        self.http = httpx.Client(base_url=f"http://{LOOPBACK}:{port}/api/v1", timeout=30)

    def get(self, path: str, **query: str) -> Any:
        """The data of an answer; fails with what Prometheus says of the question."""
        answer = self.http.post(path, data=query) if query else self.http.get(path)
        said = answer.json()
        assert said["status"] == "success", (query, said)
        return said["data"]

    def query(self, expression: str) -> list[Any]:
        """The series of an expression now."""
        return self.get("/query", query=expression)["result"]

    def value(self, expression: str) -> float | None:
        """What an expression comes to that has one series; None where it has none."""
        found = self.query(expression)
        assert len(found) < 2, found
        return float(found[0]["value"][1]) if found else None

    def wait_until(self, is_so: Callable[[], object], *, seconds: float) -> None:
        """Look again until it is so."""
        deadline = time.monotonic() + seconds
        while not is_so():
            assert time.monotonic() < deadline, (is_so, f"not so after {seconds} s")
            time.sleep(LOOK_AGAIN_SECONDS)

    def wait_for(self, expression: str, wanted: float, *, seconds: float = 60) -> None:
        """Ask again until an expression comes to this value."""
        deadline = time.monotonic() + seconds
        while (got := self.value(expression)) != wanted:
            assert time.monotonic() < deadline, (expression, got, wanted)
            time.sleep(LOOK_AGAIN_SECONDS)


@contextmanager
def running(folder: Path) -> Iterator[Prometheus]:
    """Run Prometheus on the loopback with the `prometheus.yml` of this folder."""
    path = program("prometheus")

    def command(port: int) -> list[str]:
        return [
            path,
            f"--config.file={folder / 'prometheus.yml'}",
            f"--storage.tsdb.path={folder / 'data'}",
            f"--web.listen-address={LOOPBACK}:{port}",
            "--log.level=warn",
        ]

    def is_ready(port: int, _process: subprocess.Popen[bytes]) -> bool:
        with suppress(httpx.TransportError):
            return httpx.get(f"http://{LOOPBACK}:{port}/-/ready", timeout=5).status_code == 200
        return False

    ours = Account(os.geteuid(), os.getegid())
    with serving(command, is_ready, folder, ours, stop_with=signal.SIGTERM) as port:
        asked = Prometheus(port)
        try:
            yield asked
        finally:
            asked.http.close()
