"""Maintenance: one flag for the whole platform, known to every process within 5 seconds.

Its row is read every two seconds beside the requests, so that a request costs a look into memory.
A process that cannot read it keeps what it knew. While it is on each process says every two seconds
how many requests it still has in hand; one that vanished counts for ten more.
"""

import logging
import os
import secrets
import socket
import threading
import time
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from django.core import signing
from django.core.exceptions import SynchronousOnlyOperation
from django.db import Error, connection, transaction
from django.db.models import Sum
from django.db.models.functions import Now
from django.utils import timezone, translation

from ops.errors import InMaintenance
from ops.models import Maintenance, ServingProcess
from ops.models.maintenance import THE_ONE
from ops.realtime import hub, push
from ops.registry import Registry
from ops.services import audit, queue, schedules
from ops.setting_kinds import TRY_AGAIN_AFTER

logger = logging.getLogger(__name__)

READ_EVERY = 2  # seconds
SEEN_BY_ALL_AFTER = 5  # seconds
GONE_AFTER = timedelta(
    seconds=10
)  # without a word a process has vanished, with what it had in hand
RETRY_AFTER = 60  # seconds, where nobody said how long it takes
LANGUAGES = ("zh-hans", "en")

# Pages of the console that stay open to platform staff, by the name of their address; what lies
# below such a page is open as well. An app adds what is needed while everything else rests.
open_pages: Registry[str] = Registry()

SMOKE_HEADER = "X-Smoke-Request"
SMOKE_LIFETIME = 60  # seconds


@dataclass(frozen=True, slots=True)
class Notice:
    """What is known of maintenance; `message` is empty where nobody wrote one."""

    is_on: bool = False
    message: str = ""
    until: datetime | None = None

    @property
    def retry_after(self) -> int:
        """In how many seconds it makes sense to come back."""
        if self.until is None:
            return RETRY_AFTER
        left = (self.until - timezone.now()).total_seconds()
        return max(RETRY_AFTER, int(left))

    def refusal(self) -> InMaintenance:
        """The refusal of a request, in the language of this moment."""
        return InMaintenance(text=self.message, retry_after=self.retry_after)


OFF = Notice()


@dataclass(slots=True)
class _Process:
    """What this process knows, and what it has in hand."""

    notice: Notice | None = None  # until it was read
    read_again_at: float = 0
    told: Notice = OFF  # to the sockets
    running: set[object] = field(default_factory=set)
    name: str = ""
    has_reported: bool = False


_process = _Process()
_lock = threading.Lock()


def forget() -> None:
    """Take maintenance for off, and nothing for running. For tests."""
    _process.notice = _process.told = OFF
    _process.running.clear()
    _process.has_reported = False


def _begin_anew() -> None:
    """A child that was forked reads for itself, has a name of its own, and nothing in hand."""
    global _process, _lock
    _process, _lock = _Process(), threading.Lock()


os.register_at_fork(after_in_child=_begin_anew)


# --- What a request asks ------------------------------------------------------------------------
def current() -> Notice:
    """What this process knows: a look into memory, after the first."""
    return _process.notice or _look()


def is_on() -> bool:
    """Whether the platform is being maintained; periodic jobs and the queue rest then."""
    return current().is_on


def begin(request: object) -> None:
    """Count a request as in hand. Before anybody asks whether it is on: none slips between."""
    _process.running.add(request)


def end(request: object) -> None:
    """It is in hand no more; doing it twice changes nothing."""
    _process.running.discard(request)


def _look() -> Notice:
    """Read it for the first time; off, where that cannot be done, until it can."""
    if time.monotonic() < _process.read_again_at:
        return OFF
    try:
        if connection.in_atomic_block:
            with transaction.atomic():
                found = _read()
        else:
            found = _read()
    except (Error, SynchronousOnlyOperation) as error:
        logger.warning("Whether maintenance is on cannot be read: %s", error)
        _process.read_again_at = time.monotonic() + TRY_AGAIN_AFTER
        return OFF
    _process.notice = found
    return found


def _read() -> Notice:
    found = Maintenance.objects.values_list("is_on", "message", "until").first()
    return Notice(*found) if found and found[0] else OFF


# --- The beat -----------------------------------------------------------------------------------
def keep_up() -> None:
    """Read the flag, tell the sockets when it changed, and say what is in hand while it is on.

    Raises what the database raises; what was known stays.
    """
    _know(_read())
    if is_on():
        _report()
    elif _process.has_reported:
        ServingProcess.objects.filter(pk=_process.name).delete()
        _process.has_reported = False


def _know(notice: Notice) -> None:
    with _lock:
        _process.notice = notice
        is_news, _process.told = notice != _process.told, notice
    if is_news:
        hub.announce_here(push.Event(type="maintenance", data=told(notice)))


def _know_once_committed(notice: Notice) -> None:
    transaction.on_commit(partial(_know, notice), robust=True)


def _report() -> None:
    if not _process.name:
        # The number alone may be another process's after a restart, or on another machine.
        host, token = socket.gethostname()[:60], secrets.token_hex(4)
        _process.name = f"{host}:{os.getpid()}:{token}"
    _process.has_reported = True
    row = ServingProcess(name=_process.name, running=len(_process.running))
    ServingProcess.objects.bulk_create(
        [row],
        update_conflicts=True,
        unique_fields=["name"],
        update_fields=["running", "updated_at"],
    )


def told(notice: Notice) -> dict[str, Any]:
    """What sockets are told, whatever the language of their client."""
    message = {}
    for language in LANGUAGES:
        with translation.override(language):
            message[language] = str(notice.refusal()) if notice.is_on else ""
    return {
        "is_on": notice.is_on,
        "message": message,
        "retry_after": notice.retry_after if notice.is_on else None,
    }


@dataclass(frozen=True, slots=True)
class InHand:
    """What is under way: requests on so many processes, tasks of the queue and jobs by name.

    `queue_problem` says why the queue could not be asked; empty where it could.
    """

    processes: int
    requests: int
    tasks: tuple[str, ...] = ()
    jobs: tuple[str, ...] = ()
    queue_problem: str = ""

    @property
    def is_nothing(self) -> bool:
        """Whether nothing is under way, as far as it is known."""
        return not (self.requests or self.tasks or self.jobs)


def in_hand(*, in_a_hurry: bool = False) -> InHand:
    """What is under way: of requests, what the processes said in the last 10 seconds.

    A queue that is away is said and waited for by nobody: it may be what is being mended. In a
    hurry, as a page is, one that hangs is said to be away after a second or two.
    """
    heard = ServingProcess.objects.filter(updated_at__gt=Now() - GONE_AFTER)
    processes, requests = heard.count(), heard.aggregate(sum=Sum("running"))["sum"] or 0
    jobs = tuple(schedules.under_way())
    try:
        tasks = tuple(queue.under_way(in_a_hurry=in_a_hurry))
    except Error:
        raise
    except Exception as error:  # noqa: BLE001  whatever the engine raises when it is away
        return InHand(processes, requests, jobs=jobs, queue_problem=type(error).__name__)
    return InHand(processes, requests, tasks=tasks, jobs=jobs)


def refuse_while_on() -> None:
    """Raise RuntimeError while it is on: this process is not to be sent requests."""
    if is_on():
        raise RuntimeError("maintenance is on")


# --- Turning it on and off ----------------------------------------------------------------------
@transaction.atomic
def turn_on(
    *, message: str = "", until: datetime | None = None, author_id: int | None = None
) -> bool:
    """Let everything rest; False when it does already, with the same message and end.

    Every process knows within 5 seconds, this one as soon as it is committed.
    """
    return _turn(Notice(is_on=True, message=message, until=until), "on", author_id)


@transaction.atomic
def turn_off(*, author_id: int | None = None) -> bool:
    """Let everything go on; False when it does already."""
    return _turn(OFF, "off", author_id)


def _turn(notice: Notice, word: str, author_id: int | None) -> bool:
    row, _is_new = Maintenance.objects.select_for_update().get_or_create(pk=THE_ONE)
    before = {"is_on": row.is_on, "message": row.message, "until": row.until}
    after = {"is_on": notice.is_on, "message": notice.message, "until": notice.until}
    if before == after:
        return False
    row.is_on, row.message, row.until = notice.is_on, notice.message, notice.until
    row.save(update_fields=list(after))
    # What was said in a maintenance before says nothing of this one.
    ServingProcess.objects.all().delete()
    audit.record(
        action=f"maintenance.{word}", row=row, before=before, after=after, actor_id=author_id
    )
    _know_once_committed(notice)
    return True


# --- Requests of the platform's own -------------------------------------------------------------
def _signer() -> signing.TimestampSigner:
    """Under a key that is derived from SECRET_KEY."""
    return signing.TimestampSigner(salt="ops.smoke-request")


def smoke_headers() -> dict[str, str]:
    """What lets a request through for a minute: the platform tries itself before it goes on."""
    return {SMOKE_HEADER: _signer().sign("smoke")}


def is_smoke(header: str) -> bool:
    """Whether the platform made this header itself, within the last minute."""
    try:
        return _signer().unsign(header, max_age=SMOKE_LIFETIME) == "smoke"
    except signing.BadSignature:
        return False
