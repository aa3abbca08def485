"""The one place where points change: a ledger entry and the person's balance, together."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial

from django.db import transaction
from django.utils import timezone

from accounts import events
from accounts.errors import AccountClosed, NotEnoughPoints
from accounts.metrics import POINTS_ISSUED, POINTS_SPENT
from accounts.models import PointsEntry, PointsSource, User
from ops.errors import Unavailable
from ops.tally import Account, Tally, write_heads
from ops.transactions import in_transaction

ACCOUNT = Account(model=User, balance="total_points", version="points_version", head="points_hash")


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """Points that a person gets, negative where they are taken, and why."""

    person: User
    points: int
    source: PointsSource
    related_id: str = ""


def lock_person(person_id: int) -> User:
    """Hold a person's points until commit and return the person as they are now.

    In the order of locks people come last. Needs a transaction around it.
    """
    person: User = User.objects.locked().get(pk=person_id)
    return person


def lock_open(person_id: int) -> User:
    """As `lock_person`, of somebody who acts.

    Raises AccountClosed when the account was merged into another while the request was on its way:
    nothing may come to it any more.
    """
    person = lock_person(person_id)
    if person.is_merged:
        raise AccountClosed
    return person


def lock_receiver(person_id: int) -> User:
    """Hold whoever gets what is due to this account: its own person, or the one it was merged into.

    Raises Unavailable where that one is merged at this moment: asked again, it goes through.
    """
    person = lock_person(person_id)
    if person.merged_into_id is None:
        return person
    # Nobody else holds an account that was merged, so that the order by pk is of no matter here.
    return lock_receivers([person.merged_into_id])[person.merged_into_id]


def lock_receivers(person_ids: Iterable[int]) -> dict[int, User]:
    """As `lock_people`, of accounts that points come to.

    Raises Unavailable where one is merged into another at this moment: nothing was written, and
    asked again it goes to that one.
    """
    people = lock_people(person_ids)
    if any(person.is_merged for person in people.values()):
        raise Unavailable
    return people


def lock_people(person_ids: Iterable[int]) -> dict[int, User]:
    """Hold the points of these people until commit, by pk, and return them by their id.

    As `lock_person` does for one.
    """
    return {person.pk: person for person in User.objects.filter(pk__in=set(person_ids)).locked()}


@in_transaction
def change_points(
    *, person_id: int, points: int, source: PointsSource, related_id: str = ""
) -> PointsEntry:
    """Add `points` (negative to take them) to a person's balance, as one ledger entry.

    Locks the person until commit; pushes a points_update after commit. Raises NotEnoughPoints
    when the balance does not cover it, IntegrityError when a cause that can happen only once
    happens again, PointsEntry.DoesNotExist for a reversal whose `related_id` is the id of no entry
    of this person, and AccountClosed for an account that was merged into another.
    """
    person = lock_person(person_id)
    change = Change(person=person, points=points, source=source, related_id=related_id)
    return write_entries([change])[0]


def write_entries(changes: Sequence[Change]) -> list[PointsEntry]:
    """Write an entry for each change, in this order, and bring the people up to date.

    The caller has locked them; several changes of one person name one object. Two statements,
    whatever the number of changes and people, and one more for each reversal. Raises what
    `change_points` raises; a balance that does not cover a change is found before anything is
    written.
    """
    entries: list[PointsEntry] = []
    tallies: dict[int, Tally] = {}
    for change in changes:
        tally = tallies.setdefault(change.person.pk, Tally(change.person, ACCOUNT))
        entries.append(_add(tally, change))
    PointsEntry.objects.bulk_create(entries)
    write_heads(ACCOUNT, tallies.values())
    for entry in entries:
        events.points_changed(entry)
    transaction.on_commit(partial(_count, changes), robust=True)
    return entries


def _count(changes: Sequence[Change]) -> None:
    for change in changes:
        counter = POINTS_ISSUED if change.points > 0 else POINTS_SPENT
        counter.add(abs(change.points), change.source)


def _add(tally: Tally, change: Change) -> PointsEntry:
    """The next entry of a person, which is still to be written."""
    if change.person.is_merged:
        raise AccountClosed
    balance = tally.balance + change.points
    if balance < 0:
        raise NotEnoughPoints(required=-change.points, current=tally.balance, shortage=-balance)
    entry = PointsEntry(
        user=change.person,
        points=change.points,
        source=change.source,
        related_id=change.related_id,
        balance_after=balance,
        created_at=timezone.now(),
    )
    tally.chain(entry, change.points, lifetime_points=_lifetime_points(entry))
    return entry


def _lifetime_points(entry: PointsEntry) -> int:
    """What an entry adds to the lifetime points: what receipts gave, less what was taken back."""
    gave = entry
    if entry.source == PointsSource.REVERSE:
        gave = PointsEntry.objects.get(pk=entry.related_id, user=entry.user_id)
    return entry.points if gave.source == PointsSource.PHOTO_UPLOAD else 0
