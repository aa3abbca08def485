"""Receiving the WAL of this deployment: alone, into its places, until it is told to stop."""

import fcntl
import logging
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import psutil
from django.conf import settings
from django.db import connection
from django.utils.translation import gettext as _

from ops.backups import deployment, wal
from ops.backups import postgresql_tools as tools
from ops.backups.errors import BackupRefused
from ops.backups.postgresql_tools import Parameters, Session, one_line, row
from ops.backups.wal import SLOT, WalReceiver
from ops.backups.wal_archive import Bringing, Taking
from ops.backups.wal_folder import Reached
from ops.models import BackupKind

logger = logging.getLogger(__name__)

BRING_EVERY = wal.EVERY  # seconds
END_SECONDS = 10.0  # that a receiver whose command was killed has to end
SERVER_SECONDS = 2.0  # that the server has to notice that somebody is gone


def folder() -> Path:
    """Where what was received lies in plain bytes until it was taken away."""
    return Path(settings.DATA_DIR) / "wal"


def receive(
    stop: threading.Event, *, told: Callable[[Reached], None] = lambda _reached: None
) -> None:
    """Receive the WAL of the live database into all places until `stop` is set.

    `told` hears each time how far the first place goes. A bucket that is away is brought what it
    lacks when it is back. Raises BackupRefused at the start: where BACKUP_METHOD is not pages, the
    role may not, or somebody receives already.
    """
    engine = deployment.engine()
    if not is_for_this_database():
        raise BackupRefused(
            _("The WAL is received where PostgreSQL is kept by its pages: set BACKUP_METHOD=pages.")
        )
    if refusal := engine.refusal(BackupKind.FULL, parent=None):
        raise BackupRefused(refusal)
    parameters, (first, *others) = tools.live_parameters(), deployment.places()
    with _alone(), _drafts() as drafts, ExitStack() as stack:
        identifier = _identifier_of_a_free_slot(parameters)
        for place in others:
            stack.enter_context(_bringing(Bringing(first, place, identifier, drafts)))
        receiver = WalReceiver(
            parameters=parameters,
            folder=folder(),
            take=Taking(first, identifier, drafts),
            told=told,
        )
        receiver.receive(stop)


def stop_for_good() -> bool:
    """Receive no more: drop the slot, for which the server would keep WAL until its disk is full.

    What was received stays in the places, what was not yet taken there is removed. Returns whether
    there was a slot. Raises BackupRefused while somebody receives.
    """
    if connection.vendor != "postgresql":
        raise BackupRefused(_("Only PostgreSQL has a WAL that is received."))
    with _alone():
        _end_orphans()
        parameters = tools.live_parameters()
        with tools.connected(parameters) as session:
            _wait_for_the_slot(session)
        was_there = wal.drop_slot(parameters)
        for path in folder().iterdir():
            if path.name != _LOCK:
                path.unlink() if path.is_file() else shutil.rmtree(path)
    return was_there


def is_for_this_database() -> bool:
    """Whether the live database is kept in a way by which its WAL may be received."""
    return connection.vendor == "postgresql" and settings.BACKUP_METHOD == "pages"


def cluster_that_is_received() -> str | None:
    """The number of the live PostgreSQL where its WAL is to be received; None where it is not.

    The slot says so: it stays while the command is away, and goes with `stop_for_good`.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT (SELECT system_identifier::text FROM pg_control_system()) "
            "FROM pg_replication_slots WHERE slot_name = %s",
            [SLOT],
        )
        found = cursor.fetchone()
    return None if found is None else str(found[0])


# --- Alone ----------------------------------------------------------------------------------------
_LOCK = ".lock"


@contextmanager
def _alone() -> Iterator[None]:
    folder().mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(folder() / _LOCK, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise BackupRefused(
                _("Another command receives the WAL into %s: stop it first.") % folder()
            ) from error
        yield
    finally:
        os.close(descriptor)


@contextmanager
def _drafts() -> Iterator[Path]:
    """An empty folder for what is packed; it holds nothing in plain bytes."""
    drafts = folder() / "drafts"
    shutil.rmtree(drafts, ignore_errors=True)
    drafts.mkdir(mode=0o700)
    yield drafts
    shutil.rmtree(drafts, ignore_errors=True)


def _end_orphans() -> None:
    """End the receivers of commands that were killed: they would hold the slot for ever.

    Called while nobody else of ours is at work in the folder.
    """
    orphans = []
    for process in psutil.process_iter(["cmdline"]):
        if f"--directory={folder()}" in (process.info["cmdline"] or []):
            with suppress(psutil.NoSuchProcess):
                process.terminate()
                orphans.append(process)
    psutil.wait_procs(orphans, timeout=END_SECONDS)


def _identifier_of_a_free_slot(parameters: Parameters) -> str:
    """The cluster's number, once nobody receives by the slot. Raises BackupRefused."""
    _end_orphans()
    with tools.connected(parameters) as session:
        tools.find("pg_receivewal", server=tools.major_version(session))
        _wait_for_the_slot(session)
        return str(row(session, "SELECT system_identifier FROM pg_control_system()")[0])


def _wait_for_the_slot(session: Session) -> None:
    deadline = time.monotonic() + SERVER_SECONDS
    while taken := session.execute(_TAKEN, [SLOT]).fetchone():
        if time.monotonic() > deadline:
            raise BackupRefused(
                _("Somebody else receives the WAL, from %(address)s: stop that first.")
                % {"address": taken[0] or _("a socket")}
            )
        time.sleep(wal.LOOK_AGAIN)


_TAKEN = """
    SELECT host(client_addr) FROM pg_replication_slots AS slot
    LEFT JOIN pg_stat_replication AS sender ON sender.pid = slot.active_pid
    WHERE slot_name = %s AND slot.active
"""


# --- To other places ------------------------------------------------------------------------------
@contextmanager
def _bringing(bringing: Bringing) -> Iterator[None]:
    """Bring what is new in a thread, so that a bucket that is slow keeps nobody waiting."""
    stop = threading.Event()
    thread = threading.Thread(target=_bring, args=(bringing, stop), name="bringing WAL")
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _bring(bringing: Bringing, stop: threading.Event) -> None:
    complained = ""
    is_last = False
    while not is_last:
        is_last = stop.wait(BRING_EVERY)  # once more, with what the receiver took away at its end
        try:
            bringing.bring()
            complained = ""
        except Exception as error:  # noqa: BLE001  whatever a bucket raises when it is away
            if (said := one_line(error)) != complained:
                logger.warning("The WAL is not in %s: %s", bringing.other.name, said)
            complained = said
