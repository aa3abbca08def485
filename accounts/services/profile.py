"""What a person is told about themselves, and what they may change of it."""

from collections.abc import Callable
from typing import Any

from accounts.models import Tier, User

type Fact = Callable[[User], Any]

# Facts that apps above this one know; they register them in AppConfig.ready().
_user_facts: dict[str, Fact] = {}
_profile_facts: dict[str, Fact] = {}


def register_fact(name: str, fact: Fact, *, profile_only: bool = False) -> None:
    """Add a field to `user_info`, or to the profile alone."""
    (_profile_facts if profile_only else _user_facts)[name] = fact


def user_facts(person: User) -> dict[str, Any]:
    """The registered fields of `user_info`, by name."""
    return {name: fact(person) for name, fact in _user_facts.items()}


def profile_facts(person: User) -> dict[str, Any]:
    """The registered fields of the profile, by name."""
    return {name: fact(person) for name, fact in _profile_facts.items()}


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
    """Change the nickname."""
    person.nickname = nickname
    person.save(update_fields=["nickname"])
