"""A person's seeds: made before they are used, committed to by a hash, revealed when changed."""

import secrets
from dataclasses import dataclass, field
from datetime import datetime

from django.utils import timezone

from lottery.decision import hash_seed
from lottery.metrics import SEEDS_ROTATED
from lottery.models import SeedMaker, SeedPair, SeedState
from ops.services.encryption import decrypt, encrypt
from ops.transactions import in_transaction

NOT_OVER = (SeedState.ACTIVE, SeedState.NEXT)


@dataclass(frozen=True, slots=True)
class Rotation:
    """What a change of seeds shows: the pair that is over, the one in use and the one after it."""

    revealed: SeedPair
    server_seed: str = field(repr=False)
    active: SeedPair
    next: SeedPair


def pairs_of(person_id: int) -> tuple[SeedPair, SeedPair]:
    """The pair in use and the next one, made where the person has none yet."""
    pairs = _pairs_not_over(person_id)
    if len(pairs) < len(NOT_OVER):
        _make_missing(person_id)
        pairs = _pairs_not_over(person_id)
    return pairs[SeedState.ACTIVE], pairs[SeedState.NEXT]


def _pairs_not_over(person_id: int) -> dict[str, SeedPair]:
    # One statement: it sees a change of seeds whole or not at all.
    pairs = SeedPair.objects.filter(person_id=person_id, state__in=NOT_OVER)
    return {pair.state: pair for pair in pairs}


def lock_active(person_id: int) -> SeedPair:
    """Hold the pair in use until commit, made when the person has none yet.

    The first lock of a draw: all draws and changes of seeds of one person go one after another.
    Needs a transaction around it.
    """
    return _lock(person_id, SeedState.ACTIVE)


def _lock(person_id: int, state: SeedState) -> SeedPair:
    while True:
        # Empty also when somebody changed the seeds while we waited: then look again.
        for pair in SeedPair.objects.filter(person_id=person_id, state=state).locked():
            return pair
        _make_missing(person_id)


def reveal(pair: SeedPair) -> str:
    """The server seed in hex. Only for deciding draws, and for showing pairs that are over."""
    return decrypt(pair.server_seed_encrypted)


@in_transaction
def rotate(*, person_id: int, client_seed: str | None = None) -> Rotation:
    """Reveal the pair in use and put the next one in its place, with the client's seed.

    The hash of that one was shown before the client chose. `client_seed` has 1 to 64 characters;
    None keeps the one in use, whoever made it.
    """
    pair = lock_active(person_id)
    following = _lock(person_id, SeedState.NEXT)
    now = timezone.now()
    pair.state, pair.revealed_at = SeedState.REVEALED, now
    pair.save(update_fields=["state", "revealed_at"])
    following.state, following.activated_at = SeedState.ACTIVE, now
    if client_seed is None:
        following.client_seed, following.client_seed_by = pair.client_seed, pair.client_seed_by
    else:
        following.client_seed = client_seed
        following.client_seed_by = _maker_of(client_seed, person_id=person_id)
    following.save(update_fields=["state", "activated_at", "client_seed", "client_seed_by"])
    fresh = _new_pair(person_id, SeedState.NEXT, now)
    fresh.save()
    SEEDS_ROTATED.add_on_commit()
    return Rotation(revealed=pair, server_seed=reveal(pair), active=following, next=fresh)


def hold(person_id: int) -> None:
    """Hold the pairs that are not over, if there are any: nobody draws until commit."""
    list(SeedPair.objects.filter(person_id=person_id, state__in=NOT_OVER).locked())


def close(person_id: int) -> None:
    """Reveal the pair in use, with which nobody draws any more: its draws can be proved then.

    The caller holds the person, who draws no more. Without a pair in use nothing happens.
    """
    active = SeedPair.objects.filter(person_id=person_id, state=SeedState.ACTIVE)
    active.update(state=SeedState.REVEALED, revealed_at=timezone.now())


def _maker_of(client_seed: str, *, person_id: int) -> SeedMaker:
    """Who made a seed that the client sent: the server, when it once made it for this person.

    A client that sends back what it was shown has chosen nothing.
    """
    made_here = SeedPair.objects.filter(
        person_id=person_id, client_seed=client_seed, client_seed_by=SeedMaker.SERVER
    )
    return SeedMaker.SERVER if made_here.exists() else SeedMaker.CLIENT


def _make_missing(person_id: int) -> None:
    """Make the pair in use and the next one unless they are there; two at once make one of each."""
    now = timezone.now()
    SeedPair.objects.bulk_create(
        [
            _new_pair(person_id, SeedState.ACTIVE, now),
            _new_pair(person_id, SeedState.NEXT, now),
        ],
        ignore_conflicts=True,
    )


def _new_pair(person_id: int, state: SeedState, now: datetime) -> SeedPair:
    server_seed = secrets.token_hex(32)
    is_active = state == SeedState.ACTIVE
    return SeedPair(
        person_id=person_id,
        server_seed_encrypted=encrypt(server_seed),
        server_seed_hash=hash_seed(server_seed),
        client_seed=secrets.token_hex(16) if is_active else "",
        client_seed_by=SeedMaker.SERVER,
        state=state,
        created_at=now,
        activated_at=now if is_active else None,
    )
