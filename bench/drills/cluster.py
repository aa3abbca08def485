"""A PostgreSQL of a drill: stopped in every way there is, started again, on the same port."""

import os
import secrets
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psycopg

from bench.programs import ROOT
from tests.kept_servers import LOOPBACK, Account, ServerFailed, postgresql_programs

START_SECONDS = 60.0
STOP_SECONDS = 30.0
SUPERUSER = "drill"
PLATFORM = "platform"  # the role and the database of the platform, which is no superuser
OPTIONS = {"listen_addresses": LOOPBACK, "unix_socket_directories": "", "timezone": "UTC"}
# What a power cut would lose, no stop of a server loses.
FORGETFUL = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
FAST, IMMEDIATE, KILLED = signal.SIGINT, signal.SIGQUIT, signal.SIGKILL


class Cluster:
    """A data folder and the server on it, which runs between `start` and `stop`.

    The role PLATFORM owns the database of this name, and has no more rights.
    """

    def __init__(self, folder: Path, port: int, **options: str | int) -> None:
        self.account = Account.for_servers()
        folder.mkdir(mode=0o700)
        os.chown(folder, self.account.uid, self.account.gid)
        self.folder, self.data, self.log = folder, folder / "data", folder / "log"
        self.port, self.options = port, {**OPTIONS, **options}
        self.password, self.role_password = secrets.token_hex(16), secrets.token_hex(16)
        self.programs = postgresql_programs(folder, self.account)
        self.process: subprocess.Popen[bytes] | None = None

    # --- Its life ---------------------------------------------------------------------------------
    def make(self) -> None:
        """Make the data folder, start, and make the role and the database of the platform."""
        given = self.folder / "password"
        given.write_text(self.password, encoding="ascii")
        os.chown(given, self.account.uid, self.account.gid)
        self.run(
            *("initdb", f"--pgdata={self.data}", f"--username={SUPERUSER}", f"--pwfile={given}"),
            *("--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--no-sync"),
            *("--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--no-instructions"),
        )
        given.unlink()
        self.start()
        self.sql(f"CREATE ROLE {PLATFORM} LOGIN PASSWORD '{self.role_password}'")
        self.sql(f"CREATE DATABASE {PLATFORM} OWNER {PLATFORM}")

    def start(self) -> None:
        """Start it and return as soon as somebody can sign in. Raises ServerFailed."""
        said = [f"--{name}={value}" for name, value in self.options.items()]
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            with self.log.open("ab") as log:
                self.process = subprocess.Popen(
                    [
                        str(self.programs / "postgres"),
                        "-D",
                        self.data,
                        f"--port={self.port}",
                        *said,
                    ],
                    cwd=self.folder,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    **self.account.options,
                )
            # After `kill -9` the sessions of the one before may live for a moment, and it refuses.
            while self.process.poll() is None and time.monotonic() < deadline:
                with suppress(psycopg.OperationalError):
                    psycopg.connect(self.superuser_url("postgres")).close()
                    return
                time.sleep(0.02)
        end = self.log.read_text(encoding="utf-8", errors="replace")[-2000:]
        raise ServerFailed(f"PostgreSQL did not start:\n{end}")

    def stop(self, how: signal.Signals = FAST) -> None:
        """Stop it as `pg_ctl -m fast`, `-m immediate` or `kill -9` of its first process does."""
        if self.process is None or self.process.poll() is not None:
            return
        self.process.send_signal(how)
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    # --- Talking to it ----------------------------------------------------------------------------
    @property
    def url(self) -> str:
        """Where the platform finds its database, in its role."""
        return f"postgres://{PLATFORM}:{self.role_password}@{LOOPBACK}:{self.port}/{PLATFORM}"

    def superuser_url(self, database: str = PLATFORM) -> str:
        """The same for the superuser."""
        return f"postgres://{SUPERUSER}:{self.password}@{LOOPBACK}:{self.port}/{database}"

    def sql(self, *statements: str, database: str = "") -> list[tuple[Any, ...]]:
        """Run statements as the superuser, each for itself; the rows of the last one."""
        found: list[tuple[Any, ...]] = []
        with psycopg.connect(
            self.superuser_url(database or "postgres"), autocommit=True
        ) as connection:
            for statement in statements:
                done = connection.execute(statement)
                found = done.fetchall() if done.description else []
        return found

    def run(self, program: str, *arguments: str) -> None:
        """Run one of the programs that come with the server. Raises ServerFailed."""
        done = subprocess.run(
            [self.programs / program, *arguments],
            cwd=self.folder,
            env={**os.environ, "PGPASSWORD": self.password},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            **self.account.options,
        )
        if done.returncode:
            raise ServerFailed(f"{program} failed:\n{done.stderr}")


@contextmanager
def clusters() -> Iterator[Path]:
    """A folder for clusters and whatever else; programs may walk through it to their own."""
    with tempfile.TemporaryDirectory(prefix="drill-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        folder.chmod(0o711)
        yield folder


@contextmanager
def running(cluster: Cluster) -> Iterator[Cluster]:
    """Stop it in the end, however the block is left."""
    try:
        yield cluster
    finally:
        cluster.stop(IMMEDIATE)


def manage(*arguments: str, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Run a command of the platform as staff do."""
    return subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=180,
    )


def version() -> str:
    """What the server calls itself."""
    with clusters() as folder:
        program = postgresql_programs(folder, Account.for_servers()) / "postgres"
        said: Sequence[str] = subprocess.run(
            [program, "--version"], capture_output=True, text=True, check=True
        ).stdout.split()
    return f"PostgreSQL {said[2]}"
