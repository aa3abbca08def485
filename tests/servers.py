"""Private PostgreSQL and Redis-protocol servers, lent to the tests, the benchmark and by hand.

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
`kill -9`. How one of them is found, started and stopped is in tests/kept_servers.py.

Only the standard library is used, and nothing of Django: the addresses must be known before the
settings are read.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.kept_servers import Account, ServerFailed, postgresql, redis

ROOT = Path(__file__).resolve().parent.parent


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
    command = [sys.executable, "-m", "tests.servers", "--keep", f"--workers={workers}"]
    if durable:
        command.append("--durable")
    with subprocess.Popen(
        command,
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
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
                running.enter_context(redis(account.folder(folder / f"redis{number}"), account))
                for number in range(workers)
            ]
            database_url = running.enter_context(
                postgresql(account.folder(folder / "postgresql"), account, durable=durable)
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
