"""The proof of a draw: all that anybody needs to decide it again."""

from dataclasses import dataclass, field
from uuid import UUID

from accounts.models import User
from lottery.errors import ProofNotRevealed
from lottery.models import Draw, SeedState
from lottery.odds import Sheet
from lottery.services import seeds, wheels
from ops.errors import NotFound


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """A draw, the wheel as it stood, and the server seed, which is secret no more."""

    draw: Draw
    sheet: Sheet
    server_seed: str = field(repr=False)


def proof_of(*, draw_id: UUID | None, viewer: User) -> Proof:
    """The proof of a draw, for the person who drew and for staff.

    Raises NotFound (1010), also for somebody else's draw and for None, the id of nothing; and
    ProofNotRevealed (3005) until the person has changed their seeds.
    """
    draws = Draw.objects.select_related("seed_pair", "version").defer("version__prizes")
    if not viewer.is_staff:
        draws = draws.filter(person=viewer)
    draw = draws.filter(pk=draw_id).first() if draw_id else None
    if draw is None:
        raise NotFound
    if draw.seed_pair.state != SeedState.REVEALED:
        raise ProofNotRevealed
    return Proof(
        draw=draw,
        sheet=wheels.sheet_of(draw.version),
        server_seed=seeds.reveal(draw.seed_pair),
    )
