"""Servers under measurement: started, waited for, stopped; their processor time and memory."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOOPBACK = "127.0.0.1"
START_SECONDS = 60
STOP_SECONDS = 20
TICKS = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")


class ServerDied(RuntimeError):
    """A server ended or never answered; the text is the end of its log."""


@dataclass(frozen=True, slots=True)
class Program:
    """A running server; its children belong to it."""

    pid: int
    port: int

    def cpu(self) -> float:
        """Seconds of processor time that it and its children have used."""
        return cpu_of(self.pid)

    def memory(self) -> float:
        """MB of memory that it and its children hold."""
        return sum(_resident(pid) for pid in tree_of(self.pid)) / 2**20


def tree_of(pid: int) -> list[int]:
    """A process and all below it."""
    children: dict[int, list[int]] = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit() and (fields := _stat(int(folder.name))):
            children.setdefault(int(fields[1]), []).append(int(folder.name))
    found, ahead = [], [pid]
    while ahead:
        found.append(ahead.pop())
        ahead += children.get(found[-1], [])
    return found


def cpu_of(pid: int) -> float:
    """Seconds of processor time of a process and all below it, those that ended included."""
    used = 0
    for one in tree_of(pid):
        if fields := _stat(one):
            used += sum(map(int, fields[11:15]))  # utime, stime, cutime, cstime
    return used / TICKS


def _stat(pid: int) -> list[str]:
    """The fields of /proc/<pid>/stat from the state on; none when the process is gone."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return []


def _resident(pid: int) -> int:
    with suppress(OSError):
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE
    return 0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def running(
    command: Sequence[str], *, port: int, log: Path, environment: Mapping[str, str]
) -> Iterator[Program]:
    """Run a server until the block ends; it is entered when something listens on its port."""
    with log.open("ab") as output:
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env={**os.environ, **environment},
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        _wait_for(process, port, log)
        yield Program(process.pid, port)
        if process.poll() is not None:
            raise ServerDied(_end_of(log))
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_for(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        with suppress(OSError), socket.create_connection((LOOPBACK, port), timeout=1):
            return
        time.sleep(0.05)
    raise ServerDied(_end_of(log))


def _end_of(log: Path) -> str:
    return log.read_text(encoding="utf-8", errors="replace")[-3000:]


# --- The programs --------------------------------------------------------------------------------
def granian(port: int, *, workers: int = 1) -> list[str]:
    """The platform's HTTP as it runs in production: WSGI, four threads a process."""
    return [
        *(sys.executable, "-m", "granian", "--interface", "wsgi", "--host", LOOPBACK),
        *("--port", str(port), "--workers", str(workers), "--blocking-threads", "4"),
        *("--no-access-log", "--log-level", "warning", "config.wsgi:application"),
    ]


def uvicorn(application: str, port: int) -> list[str]:
    """An ASGI application on uvloop and httptools, one process, with the contract's limits."""
    return [
        *(sys.executable, "-m", "uvicorn", "--host", LOOPBACK, "--port", str(port)),
        *("--loop", "uvloop", "--http", "httptools", "--no-access-log", "--log-level", "warning"),
        *("--ws-max-size", "1048576", "--ws-ping-interval", "60", "--ws-ping-timeout", "30"),
        *("--backlog", "8192", application),
    ]


def sockets(port: int) -> list[str]:
    """The platform's sockets as they run in production."""
    return uvicorn("config.asgi:application", port)


def peer(port: int) -> list[str]:
    return uvicorn("bench.peer.app:app", port)
