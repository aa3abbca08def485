"""The one place where points change: a ledger entry and the person's balance, together."""

from django.db import transaction
from django.db.models import F
from django.utils import timezone

from accounts import events
from accounts.errors import NotEnoughPoints
from accounts.models import PointsEntry, PointsSource, User, hash_entry

# Lifetime points count what receipts gave, less what was taken back; nothing else.
LIFETIME_SOURCES = (PointsSource.PHOTO_UPLOAD, PointsSource.REVERSE)


@transaction.atomic
def change_points(
    *, user_id: int, points: int, source: PointsSource, related_id: str = ""
) -> PointsEntry:
    """Add `points` (negative to take them) to a person's balance, as one ledger entry.

    Locks the person's row until commit; in the order of locks it comes last. Pushes a
    points_update after commit. Raises NotEnoughPoints when the balance does not cover it, and
    IntegrityError when a cause that can happen only once happens again.
    """
    person = User.objects.locked().get(pk=user_id)
    if person.total_points + points < 0:
        raise NotEnoughPoints(
            required=-points,
            current=person.total_points,
            shortage=-points - person.total_points,
        )
    created_at = timezone.now()
    sequence = person.points_version + 1
    balance_after = person.total_points + points
    entry = PointsEntry.objects.create(
        user_id=user_id,
        sequence=sequence,
        points=points,
        source=source,
        related_id=related_id,
        balance_after=balance_after,
        previous_hash=person.points_hash,
        created_at=created_at,
        entry_hash=hash_entry(
            user_id=user_id,
            sequence=sequence,
            points=points,
            source=source,
            related_id=related_id,
            balance_after=balance_after,
            created_at=created_at,
            previous_hash=person.points_hash,
        ),
    )
    # F(), not the values read above: should the lock ever go, two writers add up instead of
    # overwriting each other, and the constraints on balance and sequence still bite.
    User.objects.filter(pk=user_id).update(
        total_points=F("total_points") + points,
        points_version=F("points_version") + 1,
        points_hash=entry.entry_hash,
        lifetime_points=F("lifetime_points") + (points if source in LIFETIME_SOURCES else 0),
    )
    events.points_changed(entry)
    return entry
