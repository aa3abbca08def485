"""A drill: what can go wrong does, and it is measured how long it takes until somebody is told.

    python -m bench.alerts [RULE ...]

A PostgreSQL and a Redis of its own, `manage.py serve` on a small file system of its own, and a
catcher as the one channel. Each fault is planted as it comes, and taken away again; it is said how
many seconds passed until the message that it is wrong, and until the message that it is over.
Rules whose window or time is longer than that are shortened in the console, as staff would; the
table says which. The exit status is 1 when a message stays away, or came later than 30 seconds.
"""

import json
import logging
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from pathlib import Path
from typing import Any, override
from urllib.parse import urlsplit

import httpx
import psutil
import psycopg

from bench.fault_reader import HANG, HOLD
from tests.kept_servers import Account, postgresql, redis
from tests.tls_servers import Shown, showing_a_certificate

PROMISED = 30.0  # seconds from a fault to the message
PATIENCE = 240.0  # seconds after which a message is said to stay away
LOOK_AGAIN = 0.1
FREE = 2112  # MiB of the small file system: a little more than disk-nearly-full wants
FILL = 128  # MiB
CONNECTIONS = 100  # of PostgreSQL: as many as it allows where nobody says
FAVORITES = "favorites_favorite"
KNOWN_AFTER = 75  # seconds
# Outside of DEBUG no server starts while the demo's owner, whose phone everybody knows, gets in.
CLOSING_THE_DEMO = [
    "shell",
    "-c",
    (
        "from accounts.models import User; from config.demo_accounts import PHONES; "
        "User.objects.filter(phone__in=PHONES, is_staff=True).update(status='inactive')"
    ),
]
AWAY = "table_that_is_away"


# --- Who is told ----------------------------------------------------------------------------------
class _Taken(BaseHTTPRequestHandler):
    server: "Told"

    def do_POST(self) -> None:
        said = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.take(said)
        self._answer(200)

    def do_GET(self) -> None:
        """The outside heartbeat."""
        self._answer(500 if self.server.heartbeat_fails else 200)

    def _answer(self, status: int) -> None:
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    @override
    def log_message(self, *_arguments: Any) -> None:
        pass


class Told(ThreadingHTTPServer):
    """Takes notices, and knows when each came."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Taken)
        self.notices: list[tuple[float, str, str, str]] = []
        self.came = threading.Condition()
        self.heartbeat_fails = False

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def take(self, said: dict[str, Any]) -> None:
        data = said["data"]
        with self.came:
            series = data.get("series", "")
            self.notices.append((time.monotonic(), said["rule"], data["kind"], series))
            self.came.notify_all()

    def wait_for(self, rule: str, kind: str, *, after: float, of: str = "") -> float | None:
        """When the first such notice came after a moment, of a series that names `of`.

        None when it stays away.
        """

        def when() -> float | None:
            for came, its_rule, its_kind, series in self.notices:
                if came > after and (its_rule, its_kind) == (rule, kind) and of in series:
                    return came
            return None

        with self.came:
            return self.came.wait_for(when, PATIENCE)


def wait_for[Found](look: Callable[[], Found | None], *, seconds: float = PATIENCE) -> Found | None:
    """What a look finds, as soon as it finds something; None after so many seconds."""
    deadline = time.monotonic() + seconds
    while (found := look()) is None:
        if time.monotonic() > deadline:
            return None
        time.sleep(LOOK_AGAIN)
    return found


# --- Servers that can be stopped ------------------------------------------------------------------
class Stoppable:
    """A server that is started again by the command it was started by."""

    def __init__(self, program: str, account: Account, *options: str) -> None:
        [self._process] = [one for one in psutil.Process().children() if program in one.name()]
        self._account = account
        # Redis changes what it is called by, so its options are said.
        said = [self._process.exe(), *options]
        self._command = said if options else self._process.cmdline()
        self._folder = self._process.cwd()
        self._again: subprocess.Popen[bytes] | None = None

    def stop(self, number: signal.Signals) -> None:
        one = self._again or self._process
        one.send_signal(number)
        one.wait(30)

    def start(self) -> None:
        self._again = subprocess.Popen(
            self._command,
            cwd=self._folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            **self._account.options,
        )

    def close(self) -> None:
        if self._again is not None and self._again.poll() is None:
            self._again.send_signal(signal.SIGINT)
            self._again.wait(30)


@contextmanager
def small_file_system(folder: Path, *, size: int) -> Iterator[bool]:
    """A file system of so many MiB in this folder; yields whether this machine lets us have one."""
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}m,mode=700", "tmpfs", str(folder)]
    try:
        done = subprocess.run(mount, capture_output=True, check=False).returncode == 0
    except OSError:
        done = False
    try:
        yield done
    finally:
        if done:
            subprocess.run(["umount", "--lazy", str(folder)], check=False)


# --- The platform ---------------------------------------------------------------------------------
@dataclass(kw_only=True)
class Scene:
    """The platform, its servers, its staff and who is told."""

    platform: Any
    told: Told
    postgresql: Stoppable
    redis: Stoppable
    data: Path
    faults: Path
    has_small_disk: bool
    shown: Shown
    begun: float = field(default_factory=time.monotonic)
    console: httpx.Client = field(init=False)
    customer: Any = field(init=False)
    picture: bytes = b""

    def sql(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        """Do something in the database, past the platform."""
        with psycopg.connect(self.platform.environment["DATABASE_URL"], autocommit=True) as one:
            found = one.execute(statement, values)
            return found.fetchall() if found.description else []

    def past_the_triggers(self, statement: str, *values: object) -> None:
        with psycopg.connect(self.platform.environment["DATABASE_URL"]) as one:
            one.execute("SET session_replication_role = replica")
            one.execute(statement, values)

    def sign_in(self) -> None:
        """Staff in the console, and a customer in the app."""
        self.console = httpx.Client(base_url=self.platform.base, follow_redirects=True, timeout=30)
        who = {"username": "admin", "password": self.platform.console_password()}
        self.send("/admin/login/", **who)
        self.customer = self.platform.sign_in("13900000009")

    def send(self, page: str, **fields: Any) -> None:
        """Open a page of the console, fill in its form, and send it."""
        from tests.console import _Fields

        parser = _Fields()
        parser.feed(self.console.get(page).text)
        sent = {name: values for name, values in parser.data.items() if values} | fields
        answer = self.console.post(page, data=sent, headers={"Referer": self.platform.base + page})
        assert answer.status_code == 200, answer.text
        assert "errorlist" not in answer.text, answer.text

    def change_rule(self, slug: str, **fields: Any) -> None:
        """Change a rule as staff do."""
        [(pk,)] = self.sql("SELECT id FROM ops_alertrule WHERE slug = %s", slug)
        self.send(f"/admin/ops/alertrule/{pk}/change/", **fields)

    def run_now(self, job: str) -> None:
        """Let a job run at once, as staff do, and wait until it did."""
        [(pk, claims)] = self.sql("SELECT id, claims FROM ops_schedule WHERE job = %s", job)
        page = "/admin/ops/schedule/"
        self.send(page, action="run_now", _selected_action=[str(pk)])
        ended = "SELECT 1 FROM ops_schedule WHERE id = %s AND claims > %s AND leased_until IS NULL"
        assert wait_for(lambda: self.sql(ended, pk, claims) or None), f"{job} did not run"

    def upload(self) -> None:
        """Submit a receipt; the next one has another picture."""
        from PIL import Image

        picture = Image.effect_noise((400, 600), 80).convert("RGB")
        kept = BytesIO()
        picture.save(kept, "JPEG")
        self.customer.upload(kept.getvalue(), "12.50")

    @contextmanager
    def without(self, table: str) -> Iterator[None]:
        self.sql(f"ALTER TABLE {table} RENAME TO {AWAY}_{table}")
        try:
            yield
        finally:
            self.sql(f"ALTER TABLE {AWAY}_{table} RENAME TO {table}")


@contextmanager
def scene() -> Iterator[Scene]:
    """Everything there is, with the demo in it, and nothing wrong but the certificate."""
    from tests.live import Platform

    account = Account.for_servers()
    with tempfile.TemporaryDirectory(prefix="alerts-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        folder.chmod(0o711)
        faults, data = folder / "faults", folder / "data"
        faults.mkdir()
        data.mkdir(mode=0o700)
        with ExitStack() as open_things:
            enter = open_things.enter_context
            redis_url = enter(redis(account.folder(folder / "redis"), account))
            database_url = enter(
                postgresql(
                    account.folder(folder / "postgresql"),
                    account,
                    durable=False,
                    more={"max_connections": str(CONNECTIONS)},
                )
            )
            has_small_disk = enter(small_file_system(data, size=FREE))
            told = Told()
            thread = threading.Thread(target=told.serve_forever, daemon=True)
            thread.start()
            open_things.callback(told.server_close)
            open_things.callback(told.shutdown)
            port = str(urlsplit(redis_url).port)
            servers = [
                Stoppable("postgres", account),
                Stoppable("server", account, "--port", port, "--bind", "127.0.0.1", "--save", ""),
            ]
            for server in servers:
                open_things.callback(server.close)
            shown = enter(showing_a_certificate(folder))
            environment = {
                "PUBLIC_URL": shown.base,
                "DATABASE_URL": database_url,
                "REDIS_URL": redis_url,
                "LANGUAGE_CODE": "en",
                "ALERT_CHANNELS": f"{told.base}/hook",
                "ALERT_HEARTBEAT_URL": f"{told.base}/heartbeat",
                "RECEIPT_READER": "bench.fault_reader.FaultyReader",
                "FAULTS": str(faults),
            }
            platform = Platform(data, environment)
            open_things.callback(_end, platform)
            for first in (["migrate", "--verbosity=0"], ["seed_demo"], CLOSING_THE_DEMO):
                made = platform.manage(*first)  # apart from the start, which has to be quick
                assert made.returncode == 0, made.stderr
            platform.start()
            one = Scene(
                platform=platform,
                told=told,
                postgresql=servers[0],
                redis=servers[1],
                data=data,
                faults=faults,
                has_small_disk=has_small_disk,
                shown=shown,
            )
            one.sign_in()
            _tell_of_everything(one)
            yield one
            one.console.close()


def _end(platform: Any) -> None:
    for client in platform.clients:
        client.http.close()
    process = platform.process
    if process is not None and process.poll() is None:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(20)
        if process.poll() is None:
            process.kill()
            process.wait()


def _tell_of_everything(one: Scene) -> None:
    """The channel of the environment takes warnings; here it takes what is for information too."""
    found = wait_for(lambda: one.sql("SELECT id FROM ops_alertchannel") or None)
    assert found, one.platform.output()
    one.send(f"/admin/ops/alertchannel/{found[0][0]}/change/", takes_info="on")


# --- What goes wrong ------------------------------------------------------------------------------
@dataclass(frozen=True, kw_only=True)
class Fault:
    """Something that goes wrong, and what is to be told of it."""

    rule: str
    what: str
    plant: Callable[[Scene], "Any"]  # a context: wrong inside, mended outside
    changed: dict[str, str] = field(default_factory=dict)  # in the console, before
    of: str = ""  # what the series names


@contextmanager
def _errors(one: Scene) -> Iterator[None]:
    with one.without(FAVORITES):
        for _request in range(30):
            status = one.customer.http.get("/api/favorites").status_code
            assert status == 500, status
        yield


@contextmanager
def _slow(one: Scene) -> Iterator[None]:
    client = one.platform.sign_in("13900000010")
    with psycopg.connect(one.platform.environment["DATABASE_URL"]) as holding:
        holding.execute(f"LOCK TABLE {FAVORITES} IN ACCESS EXCLUSIVE MODE")
        client.http.get("/api/favorites")
    yield


@contextmanager
def _no_redis(one: Scene) -> Iterator[None]:
    one.redis.stop(signal.SIGTERM)
    yield
    one.redis.start()


@contextmanager
def _no_database(one: Scene) -> Iterator[float]:
    # Whom it would tell, the watch has learnt a minute after the channel was changed.
    known_at = one.begun + KNOWN_AFTER
    wait_for(lambda: time.monotonic() > known_at or None)
    begun = time.monotonic()
    one.postgresql.stop(signal.SIGINT)
    yield begun
    one.postgresql.start()


@contextmanager
def _no_storage(one: Scene) -> Iterator[None]:
    media, aside = one.data / "media", one.data / "media.away"
    media.rename(aside)
    media.touch()
    yield
    media.unlink()
    aside.rename(media)


@contextmanager
def _full_disk(one: Scene) -> Iterator[None]:
    fill = one.data / "fill"
    if not one.has_small_disk:
        # Nothing can be mounted here: the threshold comes to the disk, not the disk to it.
        free = shutil.disk_usage(one.data).free
        one.change_rule("disk-nearly-full", threshold=str(free * 2))
        yield
        one.change_rule("disk-nearly-full", threshold="1")
        return
    with fill.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, FILL * 1024**2)
    yield
    fill.unlink()


@contextmanager
def _failing_job(one: Scene) -> Iterator[None]:
    one.told.heartbeat_fails = True
    for _time in range(3):
        one.run_now("outside heartbeat")
    yield
    one.told.heartbeat_fails = False
    one.run_now("outside heartbeat")


# Twice as many as run at once, each with a table that it wants and nobody else here.
HELD_UP = {
    "old sign-in codes": "accounts_signincode",
    "old counts of sign-in codes": "accounts_codecount",
    "old e-mail links": "accounts_emaillink",
    "old tries to sign in": "accounts_signinlimit",
    "expire orders": "catalog_order",
    "old errors": "ops_errorgroup",
    "expired idempotency records": "ops_idempotencyrecord",
    "expired files": "ops_storedfile",
}


@contextmanager
def _held_up_jobs(one: Scene) -> Iterator[None]:
    """Jobs that wait for a lock as long as they may, and are due again as soon as they gave up."""
    due = (
        "UPDATE ops_schedule SET next_due_at = now() "
        "WHERE job = ANY(%s) AND leased_until IS NULL AND next_due_at > now()"
    )
    stopped = threading.Event()

    def keep_due() -> None:
        while not stopped.wait(0.5):
            one.sql(due, list(HELD_UP))

    with psycopg.connect(one.platform.environment["DATABASE_URL"]) as holding:
        holding.execute(f"LOCK TABLE {', '.join(HELD_UP.values())} IN ACCESS EXCLUSIVE MODE")
        again = threading.Thread(target=keep_due, daemon=True)
        again.start()
        try:
            yield
        finally:
            stopped.set()
            again.join()


@contextmanager
def _short_stock(one: Scene) -> Iterator[None]:
    product = "SELECT id, stock FROM catalog_product WHERE status = 'active' AND is_listed"
    (pk, stock), *_others = one.sql(f"{product} ORDER BY stock DESC")
    change = "UPDATE catalog_product SET stock = %s WHERE id = %s"
    one.past_the_triggers("UPDATE catalog_product SET stock = 1 WHERE id = %s", pk)
    yield
    one.past_the_triggers(change, stock, pk)


@contextmanager
def _hanging(one: Scene, *, receipts: int = 2) -> Iterator[None]:
    (one.faults / HANG).touch()
    for _receipt in range(receipts):
        one.upload()
    yield
    (one.faults / HANG).unlink()


@contextmanager
def _much_memory(one: Scene) -> Iterator[None]:
    assert one.platform.process is not None
    now = psutil.Process(one.platform.process.pid).memory_info().rss
    one.change_rule("memory", threshold=str(now + 150 * 1024**2), for_seconds="1")
    (one.faults / HOLD).touch()
    with _hanging(one, receipts=1):
        yield
        (one.faults / HOLD).unlink()


@contextmanager
def _lost_tasks(one: Scene) -> Iterator[None]:
    """A task that was done is done again, without its table; then an hour passes."""
    one.upload()
    done = "SELECT id FROM django_tasks_database_dbtaskresult WHERE status = 'SUCCESSFUL'"
    found = wait_for(lambda: one.sql(done) or None)
    assert found, "no receipt was read"
    with one.without("reviews_processrecord"):
        one.sql(
            "UPDATE django_tasks_database_dbtaskresult SET status = 'READY', started_at = NULL, "
            "finished_at = NULL WHERE id = %s",
            found[0][0],
        )
        failed = "SELECT 1 FROM django_tasks_database_dbtaskresult WHERE status = 'FAILED'"
        assert wait_for(lambda: one.sql(failed) or None), "no task failed"
    yield
    one.sql(
        "UPDATE django_tasks_database_dbtaskresult "
        "SET finished_at = finished_at - interval '61 minutes'"
    )


@contextmanager
def _old_receipt(one: Scene) -> Iterator[None]:
    one.upload()
    one.past_the_triggers(
        "UPDATE reviews_receipt SET created_at = created_at - interval '2 days' "
        "WHERE status = 'pending'"
    )
    yield
    one.past_the_triggers("UPDATE reviews_receipt SET created_at = now() WHERE status = 'pending'")


@contextmanager
def _no_connections(one: Scene) -> Iterator[None]:
    """A web process with one connection, four threads that want it, and who holds what they ask."""
    from bench import programs

    port = programs.free_port()
    environment = {**one.platform.environment, "DEBUG": "1", "DB_POOL_SIZE": "1", "PORT": str(port)}
    stopped = threading.Event()

    def ask() -> None:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
            client.headers.update(one.customer.http.headers)
            while not stopped.is_set():
                with suppress(httpx.TransportError):
                    client.get("/api/favorites")

    with (
        programs.running(
            programs.granian(port), port=port, log=one.faults / "web.log", environment=environment
        ),
        ThreadPoolExecutor(4) as pool,
        psycopg.connect(one.platform.environment["DATABASE_URL"]) as holding,
    ):
        httpx.get(f"http://127.0.0.1:{port}/health", timeout=30)
        holding.execute(f"LOCK TABLE {FAVORITES} IN ACCESS EXCLUSIVE MODE")
        for _thread in range(4):
            pool.submit(ask)
        try:
            yield
        finally:
            stopped.set()
            holding.rollback()


@contextmanager
def _killed_worker(one: Scene) -> Iterator[float]:
    """The only process with a scheduler is killed; one that answers requests is left."""
    from bench import programs

    port = programs.free_port()
    environment = {**one.platform.environment, "DEBUG": "1", "PORT": str(port)}
    log = one.faults / "web.log"
    with programs.running(programs.granian(port), port=port, log=log, environment=environment):
        httpx.get(f"http://127.0.0.1:{port}/health", timeout=30)
        assert one.platform.process is not None
        begun = time.monotonic()
        one.platform.process.kill()
        one.platform.process.wait()
        yield begun
        one.platform.start()


@contextmanager
def _few_sessions(one: Scene) -> Iterator[None]:
    """Others take the connections of the server until five in a hundred are left."""
    from ops.metrics import CONNECTIONS_ALLOWED

    [(allowed,)] = one.sql(CONNECTIONS_ALLOWED)
    [(taken,)] = one.sql("SELECT count(*) FROM pg_stat_activity WHERE datname IS NOT NULL")
    with ExitStack() as held:
        for _connection in range(int(0.95 * allowed) - taken):
            held.enter_context(psycopg.connect(one.platform.environment["DATABASE_URL"]))
        yield


@contextmanager
def _unread_gauge(one: Scene) -> Iterator[None]:
    """The table is gone that a gauge reads, and nobody else as long as nobody signs in."""
    with one.without("accounts_signincode"):
        yield


@contextmanager
def _setting(one: Scene, key: str, value: int) -> Iterator[None]:
    """A live setting is another one meanwhile."""
    for act in (["set", key, str(value)], ["reset", key]):
        done = one.platform.manage("settings", *act)
        assert done.returncode == 0, done.stderr
        if act[0] == "set":
            yield


def _ask_until_refused(one: Scene) -> None:
    """Somebody from elsewhere asks for codes, each time for another phone, until there is none."""
    phones = iter(range(13700000000, 13799999999, 10_000))
    elsewhere = {"X-Forwarded-For": "198.51.100.7"}

    def is_refused() -> bool | None:
        asked = {"phone": str(next(phones))}
        with httpx.Client(base_url=one.platform.base, timeout=30, headers=elsewhere) as client:
            answer = client.post("/api/auth/code", json=asked)
        return answer.status_code == 429 or None

    assert wait_for(is_refused, seconds=20), "every code was sent"


@contextmanager
def _pumped_codes(one: Scene) -> Iterator[None]:
    """Ten codes were sent to strangers, and none was used."""
    one.sql(
        "INSERT INTO accounts_signincode (phone, day, number, is_known, code_hash, wrong_tries, "
        "created_at, expires_at, updated_at) SELECT 13600000000 + n, current_date, 1, false, '', "
        "0, now() - interval '5 minutes', now(), now() FROM generate_series(1, 10) AS n"
    )
    with _setting(one, "sms.pumping_codes", 10):
        _ask_until_refused(one)
        yield
    one.sql("DELETE FROM accounts_signincode WHERE phone < '13600000099'")


@contextmanager
def _no_budget(one: Scene) -> Iterator[None]:
    with _setting(one, "sms.codes_a_day_in_all", 0):
        _ask_until_refused(one)
        yield


@contextmanager
def _contradiction(one: Scene) -> Iterator[None]:
    """A seal of the database is gone, and there is a file of one that nobody made."""
    seals = one.data / "seals"
    made = wait_for(lambda: next(iter(sorted(seals.glob("*.json.gz"))), None))
    assert made is not None
    day = datetime.strptime(made.name[:10], "%Y-%m-%d").replace(tzinfo=UTC)
    false = made.with_name(made.name.replace(made.name[:10], f"{day + timedelta(days=1):%Y-%m-%d}"))
    shutil.copy(made, false)
    one.past_the_triggers("DELETE FROM ops_ledgerseal")
    one.run_now("seal ledgers")
    yield
    false.unlink()


@contextmanager
def _ending_certificate(one: Scene) -> Iterator[float]:
    """It is looked at when a process starts, and every hour."""
    one.shown.renew(days=3)
    one.platform.stop()
    begun = time.monotonic()
    one.platform.start()
    yield begun
    one.shown.renew(days=365)
    one.platform.stop()
    one.platform.start()


SHORT = {"window_seconds": "20"}
FAULTS = [
    Fault(rule="error-rate", what="a table is gone, 30 requests", plant=_errors, changed=SHORT),
    Fault(rule="slow-requests", what="a table is locked", plant=_slow, changed=SHORT),
    Fault(rule="redis-away", what="Redis is stopped", plant=_no_redis),
    Fault(rule="storage-away", what="the folder of files is gone", plant=_no_storage),
    Fault(rule="disk-nearly-full", what="a small file system is filled", plant=_full_disk),
    Fault(
        rule="job-failing",
        what="a job fails a third time",
        plant=_failing_job,
        of="outside heartbeat",
    ),
    Fault(
        rule="job-late",
        what="eight jobs want four slots and hang",
        plant=_held_up_jobs,
        changed={"threshold": "2", "for_seconds": "1"},
    ),
    Fault(rule="stock-low", what="a product is nearly sold out", plant=_short_stock),
    Fault(
        rule="queue-old",
        what="a receipt waits behind one that hangs",
        plant=_hanging,
        changed={"threshold": "3"},
    ),
    Fault(
        rule="worker-silent",
        what="a task hangs",
        plant=_hanging,
        changed={"threshold": "8"},
        of="worker",
    ),
    Fault(
        rule="worker-silent",
        what="the only worker is killed -9",
        plant=_killed_worker,
        changed={"threshold": "8"},
        of="worker",
    ),
    Fault(rule="memory", what="a task takes 300 MiB", plant=_much_memory),
    Fault(rule="tasks-lost", what="a task raises an error", plant=_lost_tasks),
    Fault(rule="review-queue-old", what="a receipt is two days old", plant=_old_receipt),
    Fault(
        rule="database-connections",
        what="four requests, one connection",
        plant=_no_connections,
        changed={"for_seconds": "1"},
    ),
    Fault(
        rule="database-sessions",
        what="others take nearly all connections",
        plant=_few_sessions,
        changed={"for_seconds": "0"},
    ),
    Fault(
        rule="gauges-unread",
        what="a table that a gauge reads is gone",
        plant=_unread_gauge,
        changed={"for_seconds": "0"},
    ),
    Fault(
        rule="sms-pumping",
        what="ten codes are sent and none is used",
        plant=_pumped_codes,
        changed=SHORT,
    ),
    Fault(
        rule="sms-budget-used-up",
        what="no code is left for today",
        plant=_no_budget,
        changed=SHORT,
    ),
    Fault(
        rule="seals-contradict",
        what="a seal is gone, a false one is there",
        plant=_contradiction,
        changed=SHORT,
    ),
    Fault(
        rule="certificate-near-end",
        what="it ends in 3 days, a server starts",
        plant=_ending_certificate,
    ),
    Fault(rule="database-away", what="PostgreSQL is stopped", plant=_no_database),
]


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What came of a fault: seconds, None where nobody was told."""

    fault: Fault
    raised: float | None
    resolved: float | None

    @property
    def is_in_time(self) -> bool:
        """Whether somebody was told as soon as it is promised, and told that it is over."""
        return self.raised is not None and self.raised <= PROMISED and self.resolved is not None

    @property
    def line(self) -> str:
        raised, resolved = (
            "stays away" if one is None else f"{one:10.1f}" for one in (self.raised, self.resolved)
        )
        changed = ", ".join(f"{name}={value}" for name, value in self.fault.changed.items())
        return f"{self.fault.rule:22}{self.fault.what:40}{raised}{resolved}  {changed}"


def measure(one: Scene, faults: list[Fault]) -> list[Measured]:
    """Plant these faults one after the other, wait for all of them, and mend them again."""
    for fault in faults:
        if fault.changed:
            one.change_rule(fault.rule, **fault.changed)
    planted: list[tuple[Fault, float, float]] = []
    with ExitStack() as wrong:
        for fault in faults:
            begun = time.monotonic()
            said = wrong.enter_context(fault.plant(one))
            # What takes a while to go wrong, as a third failure, is wrong when it has.
            since = said or (begun if fault.rule in AT_ONCE else time.monotonic())
            planted.append((fault, begun, since))
        raised = [
            one.told.wait_for(fault.rule, "raised", after=begun, of=fault.of)
            for fault, begun, _since in planted
        ]
        mended = time.monotonic()
    # What is wrong for a moment alone may be over before the last of them was told.
    resolved = [
        one.told.wait_for(fault.rule, "resolved", after=came or mended, of=fault.of)
        for (fault, _begun, _since), came in zip(planted, raised, strict=True)
    ]
    return [
        Measured(
            fault=fault,
            raised=None if came is None else max(0.0, came - since),
            resolved=None if over is None else max(0.0, over - mended),
        )
        for (fault, _begun, since), came, over in zip(planted, raised, resolved, strict=True)
    ]


# Those whose fault is there with the first step of planting it.
AT_ONCE = {"redis-away", "storage-away", "disk-nearly-full", "stock-low"}
HEADINGS = f"{'rule':22}{'fault':40}{'raised':>10}{'over':>10}  changed in the console (seconds)"


def main(arguments: list[str]) -> int:
    os.environ["DJANGO_SETTINGS_MODULE"] = "config.settings"
    with tempfile.TemporaryDirectory() as nothing:
        os.environ["DATA_DIR"] = nothing
        import django

        django.setup()
        logging.getLogger("httpx").setLevel(logging.WARNING)
        chosen = [fault for fault in FAULTS if not arguments or fault.rule in arguments]
        done = []
        with scene() as one:
            if not one.has_small_disk:
                print("No file system can be mounted here: the threshold comes to the disk.")
            print(HEADINGS)
            for fault in chosen:
                # The fault before was over just after a look: this one comes at any moment.
                time.sleep(random.uniform(0, 10))
                [measured] = measure(one, [fault])
                print(measured.line, flush=True)
                done.append(measured)
    late = [one.fault.rule for one in done if not one.is_in_time]
    print(f"{len(done)} rules, not in time: {', '.join(late) or 'none'}")
    return 1 if late else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
