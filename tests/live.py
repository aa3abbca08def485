"""The platform as a person starts it, `manage.py serve`, and the apps of its customers."""

import asyncio
import hashlib
import inspect
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import httpx
import psutil
import psycopg
import websockets
from django.db.migrations.loader import MigrationLoader

from tests.api import answer_of, data_of

ROOT = Path(__file__).resolve().parent.parent
START_SECONDS = 60
STOP_SECONDS = 20
ANSWER_SECONDS = 30


@contextmanager
def own_database(*, is_empty: bool = False) -> Iterator[dict[str, str]]:
    """An environment with a new database where the tests run on PostgreSQL, else with none.

    Migrations have run there already, unless it is to be empty.
    """
    address = os.environ.get("DATABASE_URL")
    if not address:
        yield {}
        return
    name = f"live_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(address, autocommit=True) as connection:
        if is_empty:
            connection.execute(f'CREATE DATABASE "{name}" TEMPLATE template1')
        else:
            _copy_migrated(name, connection, address)
        try:
            yield {"DATABASE_URL": _address_of(name, address)}
        finally:
            connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


TEMPLATES = "live_template"


def _copy_migrated(name: str, connection: psycopg.Connection[Any], address: str) -> None:
    """Make a database that only migrations have written to, from one that is kept for that.

    Whoever comes first makes that one. Those of other migrations are dropped: a server may be kept
    for longer than migrations stay what they are.
    """
    template = f"{TEMPLATES}_{of_migrations(MigrationLoader(None).disk_migrations)}"
    connection.execute("SELECT pg_advisory_lock(hashtext(%s))", [TEMPLATES])
    try:
        known = _templates(connection)
        for older in set(known) - {template}:
            connection.execute(f'DROP DATABASE "{older}" WITH (FORCE)')
        if template not in known:
            _make_migrated(template, address)
        connection.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
    finally:
        connection.execute("SELECT pg_advisory_unlock(hashtext(%s))", [TEMPLATES])


def _templates(connection: psycopg.Connection[Any]) -> list[str]:
    found = "SELECT datname FROM pg_database WHERE starts_with(datname, %s)"
    return [name for (name,) in connection.execute(found, [TEMPLATES])]


def of_migrations(found: Mapping[tuple[str, str], Any]) -> str:
    """A short text that is another one where a migration was added, renamed or changed."""
    said = hashlib.sha256()
    for label in sorted(found):
        said.update(repr(label).encode())
        said.update(Path(inspect.getfile(type(found[label]))).read_bytes())
    return said.hexdigest()[:12]


def _make_migrated(name: str, address: str) -> None:
    with (
        psycopg.connect(address, autocommit=True) as connection,
        tempfile.TemporaryDirectory() as folder,
    ):
        being_made = f"{name}_being_made"
        connection.execute(f"DROP DATABASE IF EXISTS {being_made} WITH (FORCE)")
        connection.execute(f"CREATE DATABASE {being_made}")
        environment = {"DATABASE_URL": _address_of(being_made, address)}
        done = Platform(Path(folder), environment).manage("migrate", "--verbosity=0")
        assert done.returncode == 0, done.stderr
        connection.execute(f"ALTER DATABASE {being_made} RENAME TO {name}")


def _address_of(database: str, address: str) -> str:
    """The same server, another database of it."""
    return urlunsplit(urlsplit(address)._replace(path=f"/{database}"))


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Platform:
    """One `manage.py serve` and everything that belongs to its environment."""

    def __init__(self, data_dir: Path, environment: dict[str, str]) -> None:
        self.port = free_port()
        self.base = f"http://127.0.0.1:{self.port}"
        self.log = data_dir / "serve.log"
        self.environment = {
            **os.environ,
            **environment,
            "DATA_DIR": str(data_dir),
            "PORT": str(self.port),
            "HOST": "127.0.0.1",
            "PYTHONUNBUFFERED": "1",
        }
        self.process: subprocess.Popen[bytes] | None = None
        self.clients: list[Client] = []

    def start(self) -> None:
        """Start the server and return as soon as it is healthy."""
        self.launch()
        self.wait_until_healthy()

    def launch(self) -> None:
        """Start the server and return at once."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "manage.py", "serve"],
                cwd=ROOT,
                env=self.environment,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def wait_until_healthy(self) -> None:
        assert self.process is not None
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            assert self.process.poll() is None, self.output()
            with suppress(httpx.TransportError):
                if httpx.get(f"{self.base}/health", timeout=3).status_code == 200:
                    return
            time.sleep(0.1)
        raise AssertionError(f"not healthy after {START_SECONDS} s:\n{self.output()}")

    def worked(self) -> float:
        """The seconds that it was at work so far, which others on the machine do not add to."""
        assert self.process is not None
        took = psutil.Process(self.process.pid).cpu_times()
        return took.user + took.system

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send the signal and return the exit status."""
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(STOP_SECONDS)

    def output(self) -> str:
        return self.log.read_text(encoding="utf-8")

    def manage(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a management command on the same data, as staff would beside the server."""
        return subprocess.run(
            [sys.executable, "manage.py", *arguments],
            cwd=ROOT,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=120,
        )

    def console_password(self) -> str:
        """The administrator's password, from where a person reads it."""
        found = re.search(r"admin / (\S+)", self.output())
        assert found, self.output()
        return found[1]

    def sign_in(self, phone: str, code: str = "123456") -> "Client":
        client = Client(self, phone, code)
        self.clients.append(client)
        return client


@contextmanager
def platform(data_dir: Path, **environment: str) -> Iterator[Platform]:
    """A running platform that nobody has used; it is killed if the test did not stop it."""
    with own_database() as database:
        yield from _running(Platform(data_dir, {**database, **environment}))


@contextmanager
def new_platform(data_dir: Path, **environment: str) -> Iterator[Platform]:
    """The same, which migrates its empty database when it starts: that takes a while."""
    with own_database(is_empty=True) as database:
        yield from _running(Platform(data_dir, {**database, **environment}))


def _running(started: Platform) -> Iterator[Platform]:
    try:
        started.start()
        yield started
    finally:
        for client in started.clients:
            client.http.close()
        if started.process and started.process.poll() is None:
            started.process.kill()
            started.process.wait(STOP_SECONDS)


@contextmanager
def processes(data_dir: Path, *, number: int = 3, **environment: str) -> Iterator[list[Platform]]:
    """So many of one platform, on one database and in one folder; those that still run are stopped.

    The first is alone until it has loaded the demo; the others come and go side by side.
    """
    with platform(data_dir, **environment) as first:
        others = [Platform(data_dir, first.environment) for _other in range(number - 1)]
        try:
            for other in others:
                other.launch()
            for other in others:
                other.wait_until_healthy()
            yield [first, *others]
        finally:
            running = [other.process for other in others if other.process is not None]
            for process in running:
                process.terminate()
            for other in others:
                for client in other.clients:
                    client.http.close()
            for process in running:
                process.wait(STOP_SECONDS)


class Client:
    """A signed-in person's app."""

    def __init__(self, server: Platform, phone: str, code: str) -> None:
        self.platform = server
        self.http = httpx.Client(base_url=server.base, timeout=ANSWER_SECONDS)
        self.signed_in = self.post("/api/auth/login", {"phone": phone, "code": code})
        self.token = self.signed_in["access_token"]
        self.http.headers["Authorization"] = f"Bearer {self.token}"

    def get(self, path: str, **query: Any) -> Any:
        return data_of(self.http.get(path, params=query))

    def post(self, path: str, body: Any = None, *, key: str | None = None) -> Any:
        headers = {"Idempotency-Key": key} if key else {}
        return data_of(self.http.post(path, json=body or {}, headers=headers))

    def delete(self, path: str) -> Any:
        return data_of(self.http.delete(path))

    def refused(self, method: str, path: str, body: Any = None) -> int:
        """The code with which a request is refused."""
        answer = answer_of(self.http.request(method, path, json=body))
        assert answer.code != 0, answer
        return answer.code

    def upload(self, picture: bytes, amount: str) -> Any:
        return data_of(
            self.http.post(
                "/api/photo/upload",
                data={"amount": amount},
                files={"image": ("receipt.jpg", picture, "image/jpeg")},
                headers={"Idempotency-Key": uuid.uuid4().hex},
            )
        )


class Listener:
    """A person's socket: everything it heard, and waiting for what it has to hear."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.heard: list[dict[str, Any]] = []
        self.close_code: int | None = None

    async def __aenter__(self) -> "Listener":
        port = self.client.platform.port
        self.socket = await websockets.connect(
            f"ws://127.0.0.1:{port}/ws/",
            subprotocols=[
                websockets.Subprotocol("bearer"),
                websockets.Subprotocol(self.client.token),
            ],
            proxy=None,
        )
        assert self.socket.subprotocol == "bearer"
        self.reading = asyncio.create_task(self._read())
        await self.wait_for("hello")
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.socket.close()
        await self.reading

    async def _read(self) -> None:
        try:
            async for text in self.socket:
                self.heard.append(json.loads(text))
        except websockets.ConnectionClosedError:
            pass
        self.close_code = self.socket.close_code

    async def send(self, message: dict[str, Any]) -> None:
        await self.socket.send(json.dumps(message))

    def of(self, kind: str) -> list[dict[str, Any]]:
        """The data of every message of one type, in the order heard."""
        return [message["data"] for message in self.heard if message["type"] == kind]

    async def wait_for(self, kind: str, **facts: Any) -> dict[str, Any]:
        """Return the first message of this type whose data has these facts, once it is there."""
        async with asyncio.timeout(ANSWER_SECONDS):
            while True:
                for data in self.of(kind):
                    if facts.items() <= data.items():
                        return data
                await asyncio.sleep(0.02)

    async def wait_for_close(self) -> int | None:
        async with asyncio.timeout(ANSWER_SECONDS):
            await self.reading
        return self.close_code
