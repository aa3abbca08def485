"""What somebody with the password of the database may have left there: read without trust."""

import json
from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import get_args, get_type_hints

from cryptography.fernet import InvalidToken
from django.db.models import F, Value
from django.db.models.expressions import Combinable
from django.db.models.functions import Greatest, Least

from lottery import decision
from lottery.decision import Decision
from lottery.models import WheelVersion
from lottery.odds import ANGLES, TICKETS, OddsSheet, PublishedPrize
from ops.services.encryption import decrypt

# What reading altered JSON, or deciding by it, comes to.
_ALTERED = (ArithmeticError, LookupError, RecursionError, TypeError, ValueError)
# By field of a prize. They are compared, not asked by `isinstance`, for which true is a number.
_TYPES = {name: get_args(hint) or (hint,) for name, hint in get_type_hints(PublishedPrize).items()}
_BIGINT = 2**63
_EARLIEST, _LATEST = (datetime(year, 1, 1, tzinfo=UTC) for year in (1000, 9000))


# --- Versions -----------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """A version that can be read, with its odds sheet and the moment when it was published."""

    version: WheelVersion
    sheet: OddsSheet
    moment: datetime

    def prize(self, prize_id: int) -> PublishedPrize | None:
        """The prize with this id; None when it is not on the sheet."""
        return next((one for one in self.sheet.prizes if one.prize_id == prize_id), None)

    def decide(self, *, ticket: int, pity_before: int, gone: Collection[float]) -> Decision | None:
        """Decide a draw when these prizes are said to be gone; None: there is no such draw.

        A prize that cannot run out is there, whatever is said.
        """
        try:
            return decision.decide(
                self.sheet,
                ticket=ticket,
                pity_before=pity_before,
                is_gone=lambda prize: prize.is_scarce and prize.prize_id in gone,
            )
        except LookupError:
            return None


type Versions = dict[int, Published]


def readable_versions() -> Versions:
    """All versions by id, but those that were altered so that nothing can be decided by them.

    Each is read by itself: one that cannot be read hides no other.
    """
    versions = WheelVersion.objects.order_by("pk").only(
        "wheel", "number", "cost_points", "pity_threshold", "fallback_prize_id"
    )
    readable = {}
    for version in versions.annotate(moment=readable_time("published_at")):
        if sheet := _sheet_of(version):
            readable[version.pk] = Published(
                version=version,
                sheet=sheet,
                moment=version.moment,  # type: ignore[attr-defined]
            )
    return readable


def _sheet_of(version: WheelVersion) -> OddsSheet | None:
    try:
        sheet = version.sheet
        return sheet if _could_be_published(sheet) else None
    except _ALTERED:
        return None


def _could_be_published(sheet: OddsSheet) -> bool:
    """Whether it has the shape that publishing gives; raises one of _ALTERED or says no."""
    return (
        all(_is_typed(prize) for prize in sheet.prizes)
        and [prize.angle for prize in sheet.prizes] == list(ANGLES)
        and sum(prize.weight for prize in sheet.prizes) == TICKETS
        and len({prize.prize_id for prize in sheet.prizes}) == len(ANGLES)
        and sheet.prize(sheet.fallback_prize_id) in sheet.prizes
    )


def _is_typed(prize: PublishedPrize) -> bool:
    values = {name: getattr(prize, name) for name in _TYPES}
    return (
        all(type(value) in _TYPES[name] for name, value in values.items())
        and all(0 <= value < _BIGINT for value in values.values() if type(value) is int)
        and prize.value == round(prize.value, 2)
        and bool(prize.kind)
    )


# --- What else a row may say --------------------------------------------------------------------
def stock_out_of(text: str) -> list[float] | None:
    """The ids that a draw names as gone; None when its `stock_out` is no list of numbers."""
    try:
        gone = json.loads(text)
    except (RecursionError, ValueError):
        return None
    # 1.0 is 1 in JSON and for the database as well; true is 1 for Python alone.
    is_list = isinstance(gone, list) and all(type(one) in (int, float) for one in gone)
    return gone if is_list else None


def server_seed_of(encrypted: str) -> str | None:
    """A server seed in hex; None when it cannot be decrypted, or what comes out is no seed."""
    try:
        server_seed = decrypt(encrypted)
        bytes.fromhex(server_seed)
    except (InvalidToken, ValueError):
        return None
    return server_seed


def readable_time(name: str) -> Combinable:
    """A time as Python can hold it: PostgreSQL also knows infinity, and years beyond 9999."""
    return Greatest(Least(F(name), Value(_LATEST)), Value(_EARLIEST))
