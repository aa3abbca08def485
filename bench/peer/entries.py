"""Ledger entries and what names things: hashes, ids, codes, times, as the platform makes them."""

import hashlib
import json
import os
import secrets
import time
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

ZONE = ZoneInfo(os.environ.get("TIME_ZONE") or "Asia/Shanghai")
ORDER_LIFETIME = timedelta(days=30)
LETTERS = "23456789ABCDEFGHJKMNPQRSTUVWXYZ"


@dataclass(frozen=True, slots=True)
class Head:
    """The newest entry of a person's points."""

    balance: int
    version: int
    hash: str


@dataclass(frozen=True, slots=True)
class Entry:
    """One more of them."""

    sequence: int
    points: int
    source: str
    balance: int
    previous_hash: str
    hash: str

    @property
    def head(self) -> Head:
        return Head(self.balance, self.sequence, self.hash)


def next_entry(
    head: Head, *, person_id: int, points: int, source: str, related_id: str, moment: datetime
) -> Entry:
    """The entry after a head, with its hash."""
    balance, sequence = head.balance + points, head.version + 1
    # Canonical JSON: sorted keys, no spaces. None of these texts needs escaping.
    text = (
        f'{{"balance_after":{balance},"created_at":"{in_hash(moment)}","points":{points},'
        f'"previous_hash":"{head.hash}","related_id":"{related_id}","sequence":{sequence},'
        f'"source":"{source}","user_id":{person_id}}}'
    )
    digest = hashlib.sha256(text.encode()).hexdigest()
    return Entry(sequence, points, source, balance, head.hash, digest)


def stock_hash_around(
    *, product_id: int, quantity: int, operation: str, related_id: str, moment: datetime
) -> dict[str, str]:
    """What stands in a stock entry before and after the hash of the one before it.

    The database puts the hash, the number and the stock between: it alone knows them.
    """
    return {
        "stock_head": f'{{"author_id":null,"created_at":"{in_hash(moment)}",'
        f'"operation":"{operation}","previous_hash":"',
        "stock_middle": f'","product_id":{product_id},"quantity":{quantity},"reason":"",'
        f'"related_id":"{related_id}","sequence":',
    }


def in_hash(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="microseconds")


def fingerprint_of(body: object) -> str:
    """Equal for bodies that say the same."""
    canonical = json.dumps(body, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


def new_draw_id() -> UUID:
    """UUID version 7: it sorts by time."""
    milliseconds, rest = divmod(time.time_ns(), 1_000_000)
    fraction = (rest << 12) // 1_000_000
    return UUID(int=milliseconds << 80 | 7 << 76 | fraction << 64 | 2 << 62 | secrets.randbits(62))


def new_exchange_code() -> str:
    letters = "".join(secrets.choice(LETTERS) for _ in range(12))
    return f"{letters[:4]}-{letters[4:8]}-{letters[8:]}"


def local_day(moment: datetime) -> date:
    return moment.astimezone(ZONE).date()


def midnight_before(moment: datetime) -> datetime:
    day = local_day(moment)
    return datetime(day.year, day.month, day.day, tzinfo=ZONE)


def local(moment: datetime | None) -> str | None:
    """A time as clients read it."""
    return moment.astimezone(ZONE).isoformat() if moment else None
