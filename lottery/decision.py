"""How a draw is decided (api.md): pure functions, the same for the draw, its checks and its tests.

Nothing here reads a clock, a random source or a database, and nothing takes an outcome as an
input. docs/verify_draw.py says the same again without this module, for those who trust nobody.
"""

import hashlib
import hmac
from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate

TICKETS = 10_000  # the weights of a published wheel add up to this
SECTOR_DEGREES = 45
ANGLES = tuple(range(0, 360, SECTOR_DEGREES))


@dataclass(frozen=True, slots=True, kw_only=True)
class Sector:
    """What the decision needs to know of a prize."""

    prize_id: int
    angle: int
    weight: int
    is_activity: bool = False
    is_pity_prize: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision[S: Sector]:
    """What one ticket comes to: where it landed, what is given instead, if anything, and why."""

    landed: S
    given: S
    is_pity: bool
    stock_out: list[int]


def hash_seed(server_seed: str) -> str:
    """The hash that commits to a server seed: SHA-256 of its 32 bytes, all in hex."""
    return hashlib.sha256(bytes.fromhex(server_seed)).hexdigest()


def draw_ticket(*, server_seed: str, client_seed: str, nonce: int) -> int:
    """The ticket of one draw, 0 to 9999; `server_seed` in hex."""
    message = f"{client_seed}:{nonce}".encode()
    digest = hmac.digest(bytes.fromhex(server_seed), message, "sha256")
    return (int.from_bytes(digest[:8]) * TICKETS) >> 64


def walk[S: Sector](sectors: Iterable[S], position: int) -> S:
    """Go through the sectors by angle to the first whose running weight exceeds `position`."""
    by_angle = sorted(sectors, key=lambda sector: sector.angle)
    running = list(accumulate(sector.weight for sector in by_angle))
    return by_angle[bisect_right(running, position)]


def is_pity_draw(*, threshold: int | None, pity_before: int) -> bool:
    """Whether the draw after `pity_before` draws without a pity prize must give one."""
    return threshold is not None and pity_before >= threshold - 1


def decide[S: Sector](
    *,
    sectors: Sequence[S],
    fallback_prize_id: int,
    threshold: int | None,
    pity_before: int,
    ticket: int,
    is_gone: Callable[[S], bool],
) -> Decision[S]:
    """Decide one draw. `is_gone` tells whether a prize is sold out or capped at this moment."""
    landed = walk(sectors, ticket)
    if is_pity_draw(threshold=threshold, pity_before=pity_before):
        pity_prizes = sorted(
            (sector for sector in sectors if sector.is_pity_prize), key=lambda sector: sector.angle
        )
        gone = [sector for sector in pity_prizes if is_gone(sector)]
        left = [sector for sector in pity_prizes if sector not in gone]
        position = ticket * sum(sector.weight for sector in left) // TICKETS
        return Decision(
            landed=landed,
            given=walk(left, position),
            is_pity=True,
            stock_out=[sector.prize_id for sector in gone],
        )
    if is_gone(landed):
        fallback = next(sector for sector in sectors if sector.prize_id == fallback_prize_id)
        return Decision(landed=landed, given=fallback, is_pity=False, stock_out=[landed.prize_id])
    return Decision(landed=landed, given=landed, is_pity=False, stock_out=[])


def pity_after(*, given: Sector, pity_before: int) -> int:
    """The counter after a draw: it returns to 0 exactly when a pity prize is given."""
    return 0 if given.is_pity_prize else pity_before + 1


def is_near_miss[S: Sector](*, sectors: Iterable[S], given: S) -> bool:
    """Whether the prize given is not the campaign's and one beside it on the wheel is."""
    beside = {(given.angle + SECTOR_DEGREES) % 360, (given.angle - SECTOR_DEGREES) % 360}
    return not given.is_activity and any(
        sector.is_activity for sector in sectors if sector.angle in beside
    )
