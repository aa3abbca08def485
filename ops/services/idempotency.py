"""One Idempotency-Key, one effect: the answer is committed together with what it answers."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import orjson
from django.conf import settings
from django.db import OperationalError, connection, transaction
from django.utils import timezone

from ops.errors import IdempotencyKeyReused, StillRunning
from ops.models import IdempotencyRecord
from ops.services.encryption import decrypt, encrypt
from ops.services.purge import purge

KEPT_FOR = timedelta(hours=24)
BATCH_SIZE = 1000  # expired records that one round of the job deletes
# Seconds that a concurrent twin waits for the first request: as long as everybody for a row.
TWIN_WAITS = settings.LOCK_TIMEOUT.total_seconds()
_INSERT = """
    INSERT INTO ops_idempotencyrecord (owner_id, path, key, fingerprint, answer, created_at)
    VALUES (%s, %s, %s, %s, '', %s)
    ON CONFLICT DO NOTHING
    RETURNING id
"""

_turn = threading.Condition()
_running: set[tuple[int, str, str]] = set()  # what is answered at this moment, on SQLite


@dataclass(frozen=True, slots=True)
class Outcome:
    """The answer's data, and whether it is an earlier request's answer given again."""

    data: Any
    is_replay: bool


def run_once(
    *, owner_id: int, path: str, key: str, fingerprint: str, effect: Callable[[], Any]
) -> Outcome:
    """Run `effect` unless this person sent this key to this path within the last 24 hours.

    `effect` returns what JSON can hold. It runs inside the transaction that keeps its answer: a
    refusal or a crash takes the record back with everything else, which frees the key.
    Raises IdempotencyKeyReused (1014) for another body, StillRunning (1015) after 5 seconds.
    """
    with _alone_in_this_process((owner_id, path, key)), transaction.atomic():
        record, is_new = _claim(owner_id=owner_id, path=path, key=key, fingerprint=fingerprint)
        if not is_new:
            if record.fingerprint != fingerprint:
                raise IdempotencyKeyReused
            return Outcome(orjson.loads(decrypt(record.answer)), is_replay=True)
        data = effect()
        # Encrypted: an answer may hold what the tables it came from keep encrypted.
        answer = encrypt(orjson.dumps(data).decode())
        IdempotencyRecord.objects.filter(pk=record.pk).update(answer=answer)
        return Outcome(data, is_replay=False)


def forget_expired(*, now: datetime) -> int:
    """Delete records whose 24 hours are over, BATCH_SIZE at most; returns how many."""
    # A key that is used anew while its old record is deleted keeps the new one.
    expired = IdempotencyRecord.objects.filter(created_at__lte=now - KEPT_FOR)
    return purge(expired.order_by("created_at"), batch_size=BATCH_SIZE)


@contextmanager
def _alone_in_this_process(name: tuple[int, str, str]) -> Iterator[None]:
    """On SQLite, wait here until no twin runs; raises StillRunning after 5 seconds.

    Its one writer makes everybody wait alike, and whoever waits cannot see whether that is a twin
    or anybody else, for whom the limit is 20 seconds. There is one process on SQLite, so it knows.
    """
    if connection.vendor != "sqlite":
        yield
        return
    with _turn:
        if not _turn.wait_for(lambda: name not in _running, timeout=TWIN_WAITS):
            raise StillRunning
        _running.add(name)
    try:
        yield
    finally:
        with _turn:
            _running.discard(name)
            _turn.notify_all()


def _claim(
    *, owner_id: int, path: str, key: str, fingerprint: str
) -> tuple[IdempotencyRecord, bool]:
    """Insert the record, or wait for whoever inserted it first and take theirs."""
    name = {"owner_id": owner_id, "path": path, "key": key}
    try:
        # Neither succeeds when the job forgets an expired record that was just in the way.
        while not (found := _inserted(name, fingerprint) or _taken(name, fingerprint)):
            pass
    except OperationalError as error:
        if _is_lock_timeout(error):
            raise StillRunning from error
        raise
    return found


def _inserted(name: dict[str, Any], fingerprint: str) -> tuple[IdempotencyRecord, bool] | None:
    """Insert the record; None when there is one already, which a twin that runs may still make.

    By hand: the insert of the models that minds no conflict does not say whether there was one.
    """
    record = IdempotencyRecord(**name, fingerprint=fingerprint)
    created_at = connection.ops.adapt_datetimefield_value(record.created_at)
    with connection.cursor() as cursor:
        cursor.execute(_INSERT, [*name.values(), fingerprint, created_at])
        row = cursor.fetchone()
    if row is None:
        return None
    (record.pk,) = row
    return record, True


def _taken(name: dict[str, Any], fingerprint: str) -> tuple[IdempotencyRecord, bool] | None:
    """Hold the record there is, for new use when its 24 hours are over; None when it is gone."""
    record = IdempotencyRecord.objects.select_for_update().filter(**name).first()
    if record is None:
        return None
    is_new = record.created_at <= timezone.now() - KEPT_FOR
    if is_new:
        record.created_at, record.fingerprint = timezone.now(), fingerprint
        record.save(update_fields=["created_at", "fingerprint"])
    return record, is_new


def _is_lock_timeout(error: OperationalError) -> bool:
    return getattr(error.__cause__, "sqlstate", None) == "55P03"  # lock_not_available
