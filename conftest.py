"""What holds for every test: its own database, its own folder, a fresh cache, no way out.

`make test` brings PostgreSQL and a Redis-protocol server (tests/servers.py). A plain `pytest` runs
on SQLite and in memory; tests marked `postgresql` are left out there, and the summary says so.
"""

import gc
import ipaddress
import os
import socket
import tempfile
from pathlib import Path

import pytest
from django.conf import settings as django_settings
from django.core.cache import caches
from django.db import connection, connections
from django.test import TransactionTestCase
from django.utils import translation

from ops.monitoring import kept_queue
from ops.services import kept, live_settings, maintenance
from ops.services.rates import rates
from ops.transactions import Joining
from tests import as_migrated
from tests.ledgers import past_the_triggers

pytest_plugins = ["tests.engines", "tests.realtime", "tests.leaks"]

LEFT_OUT = pytest.StashKey[int]()
# They wait for servers of their own for most of a minute or two. Begun last, one of them alone
# would hold up the end of a parallel run.
BEGUN_FIRST = {
    "test_alerts_drill.py",
    "test_prometheus.py",
    "test_jobs_drill.py",
    "test_crash.py",
    "test_schemathesis.py",
}


def pytest_configure(config):
    """Refuse a wrong database before the first test, instead of testing less or elsewhere."""
    on_servers = connection.vendor == "postgresql" or bool(django_settings.REDIS_URL)
    if os.environ.get("REQUIRE_POSTGRESQL"):
        if connection.vendor != "postgresql":
            raise pytest.UsageError(
                f"REQUIRE_POSTGRESQL is set, but the settings chose {connection.vendor}."
            )
    elif on_servers:
        raise pytest.UsageError(
            "DATABASE_URL or REDIS_URL is set (in the environment or in .env), and the tests would "
            "empty that Redis. Use: .venv/bin/python -m tests.servers -- .venv/bin/python -m pytest"
        )


def pytest_report_header():
    return f"set-up: {connection.vendor}, {'Redis' if django_settings.REDIS_URL else 'in memory'}"


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config, items):
    """Begin with the long ones; leave out what only PostgreSQL can show, where there is none."""
    items.sort(key=lambda item: item.path.name not in BEGUN_FIRST)
    if connection.vendor == "postgresql":
        return
    left_out = [item for item in items if item.get_closest_marker("postgresql")]
    if left_out:
        items[:] = [item for item in items if not item.get_closest_marker("postgresql")]
        config.hook.pytest_deselected(items=left_out)
        config.stash[LEFT_OUT] = len(left_out)


def pytest_terminal_summary(terminalreporter, config):
    if count := config.stash.get(LEFT_OUT, 0):
        terminalreporter.write_line(
            f"{count} test(s) marked postgresql were left out: this is {connection.vendor}. "
            "`make test` runs them.",
            yellow=True,
        )


@pytest.fixture(autouse=True)
def own_folder(settings, tmp_path_factory):
    """Give every test an empty DATA_DIR, with its private files in it."""
    # Not by its `mktemp`, which looks at the folders of all tests before: seconds of a whole run.
    settings.DATA_DIR = Path(tempfile.mkdtemp(prefix="data", dir=tmp_path_factory.getbasetemp()))
    settings.METRICS_DIR = settings.DATA_DIR / "metrics"
    settings.LOG_DIR = None
    settings.MEDIA_ROOT = settings.DATA_DIR / "media"
    settings.MEDIA_ROOT.mkdir()
    settings.STORAGES = {
        **settings.STORAGES,
        "seals": {
            "BACKEND": "django.core.files.storage.FileSystemStorage",
            "OPTIONS": {"location": settings.DATA_DIR / "seals"},
        },
    }
    return settings.DATA_DIR


@pytest.fixture(autouse=True)
def fresh_cache():
    """Start with empty caches: throttles and counters of one test must not stop the next."""
    for name in django_settings.CACHES:
        caches[name].clear()
    rates.forget()
    kept.forget()
    kept_queue.forget()
    live_settings.forget()
    maintenance.forget()


@pytest.fixture(autouse=True)
def nobodys_language():
    """Start in the deployment's language: a request of the test before may have left another."""
    translation.deactivate()


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup, django_db_blocker):
    """Remember what migrations wrote, once the database of the tests is made."""
    if connection.vendor == "postgresql":
        with django_db_blocker.unblock():
            as_migrated.keep()
    yield
    gc.collect()  # a connection that a thread of a test left open would hold up the DROP DATABASE


@pytest.fixture(autouse=True, scope="session")
def emptied_past_the_triggers():
    """Let the suite empty the tables of ledgers after a test that committed, and nothing else.

    Every test runs with the triggers that refuse it; they rest while tables are emptied.
    """
    flush = TransactionTestCase._fixture_teardown  # type: ignore[attr-defined]  # not in its stubs

    def clear_away(test):
        if connection.vendor == "postgresql":
            as_migrated.put_back()
        else:
            with connection.cursor() as cursor, past_the_triggers(cursor):
                flush(test)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TransactionTestCase, "_fixture_teardown", clear_away)
        yield


@pytest.fixture(autouse=True, scope="session")
def no_block_joins_the_transaction_of_a_test():
    """Let a block that joins find nothing to join in the transaction that a test runs in.

    It would begin one of its own in production. Here it sets a savepoint, so that a refusal takes
    back what it takes back there, and the test goes on.
    """

    def sets_a_savepoint(block):
        around = connections[block.using].atomic_blocks
        return bool(around) and around[-1]._from_testcase  # type: ignore[attr-defined]

    def begins_with_none(_block, _savepoint):
        """The property stands in for what each block was made with."""

    with pytest.MonkeyPatch.context() as patch:
        joins = property(sets_a_savepoint, begins_with_none)
        patch.setattr(Joining, "savepoint", joins, raising=False)
        yield


@pytest.fixture(autouse=True, scope="session")
def what_is_changed_is_known_in_the_transaction_of_a_test():
    """Let a setting, and maintenance, be in force at once where no transaction ever commits."""

    def at_once(once_committed, act):
        def know(*facts):
            is_of_a_test = (
                getattr(block, "_from_testcase", False) for block in connection.atomic_blocks
            )
            return act(*facts) if any(is_of_a_test) else once_committed(*facts)

        return know

    with pytest.MonkeyPatch.context() as patch:
        see, know = live_settings._see_once_committed, maintenance._know_once_committed
        patch.setattr(live_settings, "_see_once_committed", at_once(see, live_settings.refresh))
        patch.setattr(maintenance, "_know_once_committed", at_once(know, maintenance._know))
        yield


@pytest.fixture
def cast(db):
    """One person for each role, at a shop and at another one."""
    from tests.people import make_cast  # its models need the settings that pytest sets up

    return make_cast()


class OutsideConnection(AssertionError):
    """A test tried to reach another machine."""


@pytest.fixture(autouse=True, scope="session")
def no_way_out():
    """Let sockets reach this machine alone; psycopg goes through libpq and is not concerned."""

    def only_here(connect):
        def guarded(self, address):
            if self.family in (socket.AF_INET, socket.AF_INET6) and not _is_here(address[0]):
                self.close()  # the caller expects an OSError here, and closes for no other
                raise OutsideConnection(f"A test tried to connect to {address}.")
            return connect(self, address)

        return guarded

    with pytest.MonkeyPatch.context() as patch:
        for name in ("connect", "connect_ex"):
            patch.setattr(socket.socket, name, only_here(getattr(socket.socket, name)))
        yield


def _is_here(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
