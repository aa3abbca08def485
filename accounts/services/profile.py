"""What a person is told about themselves, and what they may change of it.

The fields of the answer are those of `accounts.serializers.ProfileOutput`.
"""

from collections.abc import Callable
from typing import Any

from accounts.metrics import RENAMED
from accounts.models import Tier, User
from ops.registry import Registry

type Fact = Callable[[User], Any]

# What apps above this one know about a person, by the name of the profile's field.
facts: Registry[Fact] = Registry()


def tiers_around(lifetime_points: int) -> tuple[Tier | None, Tier | None]:
    """The tier reached with so many lifetime points, and the next one; None where there is none."""
    reached = following = None
    for tier in Tier.objects.order_by("threshold"):
        if tier.threshold <= lifetime_points:
            reached = tier
        elif following is None:
            following = tier
    return reached, following


def rename(*, person: User, nickname: str) -> None:
    """Change the nickname to one that `check_nickname` takes."""
    person.nickname = nickname
    person.save(update_fields=["nickname"])
    RENAMED.add_on_commit()
