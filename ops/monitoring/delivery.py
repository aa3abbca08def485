"""Notices on their way: each channel by itself, again and again until it takes them.

To claim a notice is to move its next try ahead: whoever else looks leaves it alone, and one whose
process was killed meanwhile comes round again by itself. A message may so arrive twice, never none.
"""

import logging
import threading
from datetime import datetime, timedelta

from django.db import connection
from django.db.models import Exists, F, OuterRef, QuerySet
from django.utils import timezone

from ops.models import Alert, AlertChannel, AlertNotice, NoticeKind
from ops.monitoring import words
from ops.monitoring.channels import NotDelivered, Target, send

logger = logging.getLogger(__name__)

CLAIMED_FOR = timedelta(seconds=60)
FIRST_RETRY, LONGEST_RETRY = timedelta(seconds=5), timedelta(minutes=15)
GIVEN_UP_AFTER = timedelta(hours=24)
AT_ONCE = 20  # notices of one channel in one go
KEPT_FOR = timedelta(days=90)

_busy: dict[int, threading.Thread] = {}  # who of this process is sending to which channel
_lock = threading.Lock()


def waiting(now: datetime) -> QuerySet[AlertNotice]:
    """The notices whose time to be sent has come, the oldest first."""
    return AlertNotice.objects.filter(
        channel__is_enabled=True,
        delivered_at__isnull=True,
        given_up_at__isnull=True,
        next_try_at__lte=now,
    ).order_by("created_at", "pk")


def deliver(*, now: datetime) -> None:
    """Send what is due, each channel in a thread of its own: one that hangs holds up no other.

    Returns at once.
    """
    for channel_id in set(waiting(now).values_list("channel_id", flat=True)):
        with _lock:
            if channel_id in _busy:
                continue
            name = f"alerts to {channel_id}"
            thread = threading.Thread(
                target=_deliver_apart, args=(channel_id,), name=name, daemon=True
            )
            thread.start()
            _busy[channel_id] = thread


def wait() -> None:
    """Wait until what is under way has arrived or failed."""
    for thread in list(_busy.values()):
        thread.join()


def _deliver_apart(channel_id: int) -> None:
    try:
        deliver_to(channel_id)
    except Exception:
        logger.exception("Alerts to channel %s could not be sent", channel_id)
    finally:
        connection.close()
        with _lock:
            _busy.pop(channel_id, None)


def deliver_to(channel_id: int) -> None:
    """Send what is due to one channel, in order; after one that fails the rest waits as well.

    Of one alert nothing is sent before what was to be told of it earlier: that it is over would
    arrive before that it began. What nobody could be told for a day is given up.
    """
    channel = AlertChannel.objects.get(pk=channel_id)
    give_up_old(channel, now=timezone.now())
    earlier = AlertNotice.objects.filter(
        alert=OuterRef("alert"),
        channel=channel,
        pk__lt=OuterRef("pk"),
        delivered_at__isnull=True,
        given_up_at__isnull=True,
    )
    for notice in waiting(timezone.now()).filter(channel=channel)[:AT_ONCE]:
        if AlertNotice.objects.filter(Exists(earlier), pk=notice.pk).exists():
            continue
        if not _claimed(notice):
            return
        try:
            send(Target.of(channel), notice.message)
        except NotDelivered as error:
            _failed(notice, str(error))
            return
        except Exception as error:  # noqa: BLE001  whatever a library makes of an address
            _failed(notice, type(error).__name__)
            return
        now = timezone.now()
        AlertNotice.objects.filter(pk=notice.pk).update(delivered_at=now, error="")


def _claimed(notice: AlertNotice) -> bool:
    mine = AlertNotice.objects.filter(
        pk=notice.pk, next_try_at=notice.next_try_at, delivered_at__isnull=True
    )
    ahead = timezone.now() + CLAIMED_FOR
    return bool(mine.update(next_try_at=ahead, attempts=F("attempts") + 1))


def _failed(notice: AlertNotice, why: str) -> None:
    now = timezone.now()
    pause = min(FIRST_RETRY * 2 ** min(notice.attempts, 10), LONGEST_RETRY)  # those before this one
    given_up_at = now if now - notice.created_at >= GIVEN_UP_AFTER else None
    AlertNotice.objects.filter(pk=notice.pk).update(
        next_try_at=now + pause, error=why[:300], given_up_at=given_up_at
    )
    logger.warning("Channel %s did not take notice %s: %s", notice.channel_id, notice.pk, why)


def give_up_old(channel: AlertChannel, *, now: datetime) -> int:
    """Give up what has waited for a day, as for a channel that was disabled; returns how many."""
    old = AlertNotice.objects.filter(
        channel=channel,
        delivered_at__isnull=True,
        given_up_at__isnull=True,
        attempts=0,
        next_try_at__lt=now - GIVEN_UP_AFTER,
    )
    return old.update(given_up_at=now)


def leave_test(channel: AlertChannel) -> AlertNotice:
    """Leave a test message for a channel; it is sent as alerts are."""
    said = words.message_of_a_test()
    return AlertNotice.objects.create(channel=channel, kind=NoticeKind.TEST, message=said)


def forget_old(*, now: datetime) -> int:
    """Delete notices and resolved alerts of long ago; returns how many."""
    notices, _by_model = AlertNotice.objects.filter(created_at__lt=now - KEPT_FOR).delete()
    alerts, _by_model = Alert.objects.filter(resolved_at__lt=now - KEPT_FOR).delete()
    return notices + alerts
