"""A published wheel, and how a ticket decides on it: the rules of the platform once more."""

import hashlib
import hmac
from bisect import bisect_right
from dataclasses import dataclass
from decimal import Decimal
from itertools import accumulate
from typing import Any

TICKETS = 10_000


@dataclass(frozen=True, slots=True)
class Prize:
    """One sector; `shown` is what clients read of it."""

    id: int
    name: str
    type: str
    angle: int
    weight: int
    value: Decimal
    is_activity: bool
    is_pity: bool
    product_id: int | None
    is_counted: bool
    shown: dict[str, Any]

    @property
    def is_scarce(self) -> bool:
        return self.is_counted or self.product_id is not None

    @property
    def opens_order(self) -> bool:
        return self.type in {"coupon", "physical"}

    @property
    def credited(self) -> int:
        """Points that it gives."""
        return int(self.value) if self.type == "points" else 0


class Sheet:
    """A version of a wheel, read once: a published version never changes."""

    def __init__(self, row: dict[str, Any]) -> None:
        self.version_id: int = row["id"]
        self.wheel_id: int = row["wheel_id"]
        self.cost: int = row["cost_points"]
        self.daily_limit: int | None = row["daily_limit"]
        self.threshold: int | None = row["pity_threshold"]
        self.prizes = sorted(map(_prize, row["prizes"]), key=lambda prize: prize.angle)
        self.fallback = next(one for one in self.prizes if one.id == row["fallback_prize_id"])
        self.pity_prizes = [prize for prize in self.prizes if prize.is_pity]
        self._ends = list(accumulate(prize.weight for prize in self.prizes))
        special = {prize.angle for prize in self.prizes if prize.is_activity}
        self._near_misses = {
            prize.id
            for prize in self.prizes
            if not prize.is_activity
            and special & {(prize.angle + 45) % 360, (prize.angle - 45) % 360}
        }

    def landed(self, ticket: int) -> Prize:
        return self.prizes[bisect_right(self._ends, ticket)]

    def is_pity_draw(self, pity_before: int) -> bool:
        return self.threshold is not None and pity_before >= self.threshold - 1

    def reachable(self, ticket: int, *, pity_before: int) -> list[Prize]:
        """What a draw may have to look at: the prize of its ticket, or all pity prizes."""
        return self.pity_prizes if self.is_pity_draw(pity_before) else [self.landed(ticket)]

    def outcome(self, ticket: int, *, pity_before: int, gone: set[int]) -> "Outcome":
        """What is given when the prizes with these ids are gone."""
        landed = self.landed(ticket)
        if self.is_pity_draw(pity_before):
            left = [prize for prize in self.pity_prizes if prize.id not in gone]
            ends = list(accumulate(prize.weight for prize in left))
            given = left[bisect_right(ends, ticket * ends[-1] // TICKETS)]
            stock_out = [prize.id for prize in self.pity_prizes if prize.id in gone]
            is_pity = True
        else:
            is_gone = landed.id in gone
            given, stock_out = (self.fallback, [landed.id]) if is_gone else (landed, [])
            is_pity = False
        return Outcome(
            landed=landed,
            given=given,
            is_pity=is_pity,
            stock_out=stock_out,
            near_miss=given.id in self._near_misses,
            pity_after=0 if given.is_pity else pity_before + 1,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What one ticket comes to."""

    landed: Prize
    given: Prize
    is_pity: bool
    stock_out: list[int]
    near_miss: bool
    pity_after: int


def draw_ticket(*, server_seed: str, client_seed: str, nonce: int) -> int:
    """The ticket of one draw, 0 to 9999."""
    message = f"{client_seed}:{nonce}".encode()
    digest = hmac.digest(bytes.fromhex(server_seed), message, hashlib.sha256)
    return (int.from_bytes(digest[:8]) * TICKETS) >> 64


def _prize(published: dict[str, Any]) -> Prize:
    if published["type"] == "virtual":
        raise NotImplementedError("The peer hands out no codes.")
    value = Decimal(published["value"])
    return Prize(
        id=published["prize_id"],
        name=published["name"],
        type=published["type"],
        angle=published["angle"],
        weight=published["weight"],
        value=value,
        is_activity=published["is_activity"],
        is_pity=published["is_pity_prize"],
        product_id=published["product_id"],
        is_counted=published["quantity"] is not None or published["daily_cap"] is not None,
        shown={
            "prize_id": published["prize_id"],
            "prize_name": published["name"],
            "prize_type": published["type"],
            "prize_value": f"{value:.2f}",
            "angle": published["angle"],
            "color": published["color"],
            "probability": f"{Decimal(published['weight']) / TICKETS:.4f}",
            "is_activity": published["is_activity"],
            "is_pity_prize": published["is_pity_prize"],
            "special_effect": published["special_effect"],
        },
    )
