"""What a socket has to know before it says hello, for all that are opened at one moment."""

from collections.abc import Sequence
from dataclasses import dataclass

from accounts.models import DeviceSession, UserStatus
from ops.identifiers import MAX_ID


@dataclass(frozen=True, slots=True)
class SignedInAs:
    """Who a token says that it is of, and by which sign-in."""

    person_id: int
    session_id: int
    names_issuer: bool = True  # what that is, see `tokens.Claims`


@dataclass(frozen=True, slots=True)
class Standing:
    """The points of a person at one moment, and how many changes they count."""

    total_points: int
    points_version: int


def standings(those: Sequence[SignedInAs]) -> list[Standing | None]:
    """How each of those stands, in their order: one query for all of them.

    None for a sign-in that is over, that is not of this person, and for a closed account.
    """
    known = {}
    for session_id, person_id, takes_unnamed, *points in DeviceSession.objects.filter(
        # A number that cannot be an id is of nobody: it must not fail the others.
        pk__in={one.session_id for one in those if 0 < one.session_id <= MAX_ID},
        revoked_at__isnull=True,
        user__status=UserStatus.ACTIVE,
    ).values_list("pk", "user_id", "takes_unnamed", "user__total_points", "user__points_version"):
        known[SignedInAs(person_id, session_id)] = Standing(*points)
        if takes_unnamed:
            known[SignedInAs(person_id, session_id, names_issuer=False)] = Standing(*points)
    return [known.get(one) for one in those]
