"""The proof of a draw: all that anybody needs to decide it again."""

from dataclasses import dataclass, field
from uuid import UUID

from accounts.models import User
from accounts.services.merged_accounts import account_ids
from lottery.errors import ProofNotRevealed
from lottery.models import Draw, SeedState
from lottery.services import seeds
from ops.access import reads_everything
from ops.errors import NotFound
from ops.identifiers import find


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """A draw with the version that decided it, and the server seed, which is secret no more."""

    draw: Draw
    server_seed: str = field(repr=False)


def proof_of(*, draw_id: UUID | None, viewer: User) -> Proof:
    """The proof of a draw, for the person who drew, platform staff and auditors.

    Whose account was merged into another one is the person of that one.

    Raises NotFound (1010), also for somebody else's draw and for None, the id of nothing; and
    ProofNotRevealed (3005) until the person has changed their seeds.
    """
    draws = Draw.objects.select_related("seed_pair", "version")
    if not reads_everything(viewer):
        draws = draws.filter(person__in=account_ids(viewer))
    draw = find(draws, draw_id)
    if draw is None:
        raise NotFound
    if draw.seed_pair.state != SeedState.REVEALED:
        raise ProofNotRevealed
    return Proof(draw=draw, server_seed=seeds.reveal(draw.seed_pair))
