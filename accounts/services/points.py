"""The one place where points change: a ledger entry and the person's balance, together."""

from django.db import transaction
from django.db.models import F
from django.utils import timezone

from accounts import events
from accounts.errors import NotEnoughPoints
from accounts.models import PointsEntry, PointsSource, User


def lock_person(person_id: int) -> User:
    """Hold a person's points until commit and return the person as they are now.

    In the order of locks people come last. Needs a transaction around it.
    """
    person: User = User.objects.locked().get(pk=person_id)
    return person


@transaction.atomic
def change_points(
    *, person_id: int, points: int, source: PointsSource, related_id: str = ""
) -> PointsEntry:
    """Add `points` (negative to take them) to a person's balance, as one ledger entry.

    Locks the person until commit; pushes a points_update after commit. Raises NotEnoughPoints
    when the balance does not cover it, IntegrityError when a cause that can happen only once
    happens again, and PointsEntry.DoesNotExist for a reversal whose `related_id` is the id of no
    entry of this person.
    """
    person = lock_person(person_id)
    return write_entry(person=person, points=points, source=source, related_id=related_id)


def write_entry(
    *, person: User, points: int, source: PointsSource, related_id: str = ""
) -> PointsEntry:
    """Write the entry of a person that the caller has locked, and bring `person` up to date.

    Raises what `change_points` raises.
    """
    if person.total_points + points < 0:
        raise NotEnoughPoints(
            required=-points,
            current=person.total_points,
            shortage=-points - person.total_points,
        )
    entry = PointsEntry(
        user=person,
        sequence=person.points_version + 1,
        points=points,
        source=source,
        related_id=related_id,
        balance_after=person.total_points + points,
        previous_hash=person.points_hash,
        created_at=timezone.now(),
    )
    entry.entry_hash = entry.computed_hash()
    entry.save(force_insert=True)
    lifetime = _lifetime_points(entry)
    # F(), not the values read above: should the lock ever go, two writers add up instead of
    # overwriting each other, and the constraints on balance and sequence still bite.
    User.objects.filter(pk=person.pk).update(
        total_points=F("total_points") + points,
        points_version=F("points_version") + 1,
        points_hash=entry.entry_hash,
        lifetime_points=F("lifetime_points") + lifetime,
    )
    person.total_points, person.points_version = entry.balance_after, entry.sequence
    person.points_hash = entry.entry_hash
    person.lifetime_points += lifetime
    events.points_changed(entry)
    return entry


def _lifetime_points(entry: PointsEntry) -> int:
    """What an entry adds to the lifetime points: what receipts gave, less what was taken back."""
    gave = entry
    if entry.source == PointsSource.REVERSE:
        gave = PointsEntry.objects.get(pk=entry.related_id, user=entry.user_id)
    return entry.points if gave.source == PointsSource.PHOTO_UPLOAD else 0
