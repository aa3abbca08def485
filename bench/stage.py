"""Where it all happens: a PostgreSQL that keeps what it commits, a Redis, our servers, the peer."""

import os
import secrets
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import psycopg
from redis import Redis

from bench import programs
from bench.programs import Program, cpu_of

KEYS = ("SECRET_KEY", "HASH_KEYS", "TOKEN_KEYS", "FIELD_ENCRYPTION_KEYS", "SEAL_KEYS")
MUST_BE_ON = ("fsync", "synchronous_commit", "full_page_writes")
COMMITS = 60  # whose time is measured


def production(database_url: str, redis_url: str, data_dir: str) -> dict[str, str]:
    """The environment of a production set-up on this machine, with secrets made up for it."""
    return {
        "DJANGO_SETTINGS_MODULE": "config.settings",
        "DATABASE_URL": database_url,
        "REDIS_URL": redis_url,
        "DATA_DIR": data_dir,
        "DEBUG": "0",
        "ALLOWED_HOSTS": programs.LOOPBACK,
        "TRUSTED_PROXIES": "0",
        "SECURE_SSL_REDIRECT": "0",
        "SMS_SENDER": "accounts.sms.NoSender",
        "SMS_FIXED_CODE": "",
        "TIME_ZONE": "Asia/Shanghai",
        # Those that are given already belong to a database that somebody filled with them.
        **{name: os.environ.get(name) or secrets.token_urlsafe(48) for name in KEYS},
    }


@dataclass
class Stage:
    """Servers of one run. Whoever measures asks it for a program and reads what that costs."""

    environment: dict[str, str]
    folder: Path
    programs: dict[str, Program] = field(default_factory=dict)

    @property
    def database_url(self) -> str:
        return self.environment["DATABASE_URL"]

    @contextmanager
    def serving(self, name: str, command: Any, **more: str) -> Iterator[Program]:
        """Run `command(port)`; it is known by this name."""
        port = programs.free_port()
        with programs.running(
            command(port),
            port=port,
            log=self.folder / f"{name}.log",
            environment={**self.environment, **more},
        ) as program:
            self.programs[name] = program
            yield program
            del self.programs[name]

    @contextmanager
    def http(self) -> Iterator[None]:
        """Our HTTP and the peer, one process each."""
        with ExitStack() as stack:
            stack.enter_context(self.serving("ours", programs.granian))
            stack.enter_context(self.serving("peer", programs.peer))
            yield

    def servers_cpu(self) -> float:
        """Seconds that PostgreSQL and Redis have used; 0 where they are not to be seen."""
        return sum(map(cpu_of, self._server_pids()))

    def _server_pids(self) -> list[int]:
        try:
            with psycopg.connect(self.database_url) as connection:
                read = connection.execute("SELECT pg_read_file('postmaster.pid')").fetchone()
            server = Redis.from_url(self.environment["REDIS_URL"])
            pids = [int(read[0].split()[0]) if read else 0, server.info("server")["process_id"]]
            server.close()
        except (psycopg.Error, OSError):
            return []
        return [pid for pid in pids if Path(f"/proc/{pid}").exists()]


def durability(address: str) -> dict[str, Any]:
    """What the database says of its promises, and what keeping them takes, in milliseconds.

    Raises SystemExit when it does not keep them.
    """
    with psycopg.connect(address, autocommit=True) as connection:
        names = (*MUST_BE_ON, "wal_sync_method", "server_version")
        said = {name: _value(connection, f"SHOW {name}") for name in names}
        if off := [name for name in MUST_BE_ON if said[name] != "on"]:
            raise SystemExit(f"Not measured: {', '.join(off)} of the database is not on.")
        connection.execute("CREATE TABLE bench_commits (number integer)")
        writing = [
            _timed(connection, "INSERT INTO bench_commits VALUES (1)") for _n in range(COMMITS)
        ]
        reading = [_timed(connection, "SELECT 1") for _n in range(COMMITS)]
        connection.execute("DROP TABLE bench_commits")
    return {
        **said,
        "commit_ms": median(writing),
        "commit_p95_ms": sorted(writing)[int(COMMITS * 0.95)],
        "empty_statement_ms": median(reading),
    }


def fsync_ms(folder: Path, *, times: int = COMMITS) -> float:
    """How long the disk takes to keep 8 KB, in milliseconds: the median of some."""
    taken = []
    with (folder / "fsync").open("wb", buffering=0) as file:
        for _n in range(times):
            file.write(b"x" * 8192)
            begun = time.perf_counter()
            os.fdatasync(file.fileno())
            taken.append((time.perf_counter() - begun) * 1000)
    return median(taken)


def _value(connection: Any, statement: str) -> str:
    row = connection.execute(statement).fetchone()
    return str(row[0])


def _timed(connection: Any, statement: str) -> float:
    begun = time.perf_counter()
    connection.execute(statement)
    return (time.perf_counter() - begun) * 1000
