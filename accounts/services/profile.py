"""What a person is told about themselves, and what they may change of it.

The fields of the answers are those of `ProfileOutput` and `StatisticsOutput` in the serializers.
"""

from collections.abc import Callable
from typing import Any

from django.db.models import Q, Sum

from accounts.metrics import RENAMED
from accounts.models import PointsEntry, PointsSource, Tier, User
from accounts.services import emails
from accounts.services.merged_accounts import account_ids
from ops.registry import Registry
from ops.transactions import in_transaction

type Fact = Callable[[User], Any]

# What apps above this one know about a person, by the name of the profile's field.
facts: Registry[Fact] = Registry()

# What they counted of a person, by the names of the fields: {"draws": 12, "wins": 3}.
type Counted = Callable[[User], dict[str, int]]
counts: Registry[Counted] = Registry()


def tiers_around(lifetime_points: int) -> tuple[Tier | None, Tier | None]:
    """The tier reached with so many lifetime points, and the next one; None where there is none."""
    reached = following = None
    for tier in Tier.objects.order_by("threshold"):
        if tier.threshold <= lifetime_points:
            reached = tier
        elif following is None:
            following = tier
    return reached, following


@in_transaction
def change(*, person: User, wanted: dict[str, Any]) -> None:
    """Change what is wanted of the nickname and the e-mail: all of it, or nothing.

    The e-mail changes once its link was opened; None takes it away. Raises what `ask_link` does.
    """
    if "nickname" in wanted:
        rename(person=person, nickname=wanted["nickname"])
    if "email" not in wanted:
        return
    if wanted["email"] is None:
        emails.remove(person_id=person.pk)
        person.email = None
    else:
        emails.ask_link(person_id=person.pk, email=wanted["email"])


def statistics(person: User) -> dict[str, int]:
    """What a person did so far: points earned and spent, and what the apps above counted."""
    is_earned = Q(points__gt=0)
    # With what they did by accounts that were merged into theirs; what moved then was no gain.
    entries = PointsEntry.objects.filter(user__in=account_ids(person))
    points = entries.exclude(source=PointsSource.MERGE).aggregate(
        points_earned=Sum("points", filter=is_earned, default=0),
        points_spent=-Sum("points", filter=~is_earned, default=0),
    )
    told = [counted(person) for counted in counts.values()]
    return {name: value for one in (*told, points) for name, value in one.items()}


def rename(*, person: User, nickname: str) -> None:
    """Change the nickname to one that `check_nickname` takes."""
    person.nickname = nickname
    person.save(update_fields=["nickname"])
    RENAMED.add_on_commit()
