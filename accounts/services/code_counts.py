"""What sign-in codes are counted by, so that limits hold exactly: on every process, without Redis.

One conditional UPDATE counts or refuses; no two requests see the same low number.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property

from django.db.models import F
from django.utils import timezone

from accounts.live_settings import WRONG_CODES_AN_HOUR_PER_ADDRESS
from accounts.models import CodeCount, CountPurpose
from ops.client_address import counted_as
from ops.errors import TooManyRequests
from ops.services.encryption import keyed_hash
from ops.services.purge import purge
from ops.updated_at import MutableQuerySet

HOUR = 3600  # seconds
KEPT_FOR = timedelta(days=2)  # from when a span began; the longest is a day
BATCH_SIZE = 1000  # old counts that one round of the job deletes


@dataclass(frozen=True)
class Counted:
    """What is counted: for whom, and since when."""

    purpose: CountPurpose
    value: str
    since: datetime

    @cached_property
    def key_hash(self) -> str:
        """What it is known by."""
        return keyed_hash(f"count of {self.purpose}", self.value)

    @property
    def _rows(self) -> MutableQuerySet[CodeCount]:
        rows: MutableQuerySet[CodeCount] = CodeCount.objects.filter(
            purpose=self.purpose, key_hash=self.key_hash, since=self.since
        )
        return rows

    def claim(self, *, limit: int) -> bool:
        """Count one more, unless there are `limit` already; returns whether it was counted."""
        under = self._rows.filter(count__lt=limit)
        if under.update(count=F("count") + 1):
            return True
        CodeCount.objects.bulk_create(
            [CodeCount(purpose=self.purpose, key_hash=self.key_hash, since=self.since)],
            ignore_conflicts=True,
        )
        return bool(under.update(count=F("count") + 1))

    def add(self) -> None:
        """Count one more, however many there are."""
        self.claim(limit=2**31 - 1)

    def give_back(self) -> None:
        """Count one less: it did not happen after all."""
        self._rows.filter(count__gt=0).update(count=F("count") - 1)

    def row(self) -> CodeCount | None:
        """The count as it stands, and when it was last changed; None before the first."""
        return self._rows.first()

    @property
    def count(self) -> int:
        """How many there are."""
        row = self.row()
        return row.count if row else 0


def start_of_hour(now: datetime) -> datetime:
    """When this hour of the clock began."""
    return now.replace(minute=0, second=0, microsecond=0)


def rest_of_hour(now: datetime) -> int:
    """Seconds until the next hour begins."""
    return HOUR - int(now.timestamp()) % HOUR


def _wrong_codes(address: str, now: datetime) -> Counted | None:
    """Wrong codes of this hour from the place of an address; None where it is not counted."""
    place = counted_as(address)
    return None if place is None else Counted(CountPurpose.WRONG, place, start_of_hour(now))


def check_wrong_codes(address: str) -> None:
    """Raise TooManyRequests for an address with too many of them in this hour."""
    now = timezone.now()
    counted = _wrong_codes(address, now)
    if counted and counted.count >= WRONG_CODES_AN_HOUR_PER_ADDRESS.value:
        raise TooManyRequests(retry_after=rest_of_hour(now))


def count_wrong_code(address: str) -> None:
    """Count a wrong code, of whatever kind, against its address."""
    if counted := _wrong_codes(address, timezone.now()):
        counted.add()


def forget_old(*, now: datetime) -> int:
    """Delete counts that began 2 days ago and earlier, BATCH_SIZE at most; returns how many."""
    old = CodeCount.objects.filter(since__lte=now - KEPT_FOR)
    return purge(old.order_by("since"), batch_size=BATCH_SIZE)
