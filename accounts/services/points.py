"""The one place where points change: a ledger entry and the person's balance, together."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from django.db.models import F
from django.utils import timezone

from accounts import events
from accounts.errors import NotEnoughPoints
from accounts.models import PointsEntry, PointsSource, User
from ops.per_row import per_row
from ops.transactions import in_transaction


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


def lock_people(person_ids: Iterable[int]) -> dict[int, User]:
    """Hold the points of these people until commit, by pk, and return them by their id.

    As `lock_person` does for one.
    """
    return {person.pk: person for person in User.objects.locked().filter(pk__in=set(person_ids))}


@in_transaction
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
    gains: dict[int, _Gain] = {}
    for change in changes:
        gain = gains.setdefault(change.person.pk, _Gain(change.person))
        entries.append(gain.add(change))
    PointsEntry.objects.bulk_create(entries)
    _write_gains(gains)
    for entry in entries:
        events.points_changed(entry)
    return entries


class _Gain:
    """What a person's new entries come to; the person keeps what is committed until then."""

    def __init__(self, person: User) -> None:
        self.person = person
        self.points = self.entries = self.lifetime = 0
        self.hash = person.points_hash

    def add(self, change: Change) -> PointsEntry:
        """The next entry, which is still to be written."""
        balance = self.person.total_points + self.points
        if balance + change.points < 0:
            raise NotEnoughPoints(
                required=-change.points, current=balance, shortage=-change.points - balance
            )
        entry = PointsEntry(
            user=self.person,
            sequence=self.person.points_version + self.entries + 1,
            points=change.points,
            source=change.source,
            related_id=change.related_id,
            balance_after=balance + change.points,
            previous_hash=self.hash,
            created_at=timezone.now(),
        )
        entry.entry_hash = self.hash = entry.computed_hash()
        self.points += entry.points
        self.entries += 1
        self.lifetime += _lifetime_points(entry)
        return entry

    def bring_up_to_date(self) -> None:
        """Let the person say what is written now."""
        self.person.total_points += self.points
        self.person.points_version += self.entries
        self.person.points_hash = self.hash
        self.person.lifetime_points += self.lifetime


def _write_gains(gains: Mapping[int, _Gain]) -> None:
    """Bring balances and heads up to date, in one statement.

    F(), not the values that were read: should the lock ever go, two writers add up instead of
    overwriting each other, and the constraints on balance and sequence still bite.
    """
    if not gains:
        return
    User.objects.filter(pk__in=gains).update(
        total_points=F("total_points") + per_row({pk: gain.points for pk, gain in gains.items()}),
        points_version=F("points_version")
        + per_row({pk: gain.entries for pk, gain in gains.items()}),
        points_hash=per_row({pk: gain.hash for pk, gain in gains.items()}),
        lifetime_points=F("lifetime_points")
        + per_row({pk: gain.lifetime for pk, gain in gains.items()}),
    )
    for gain in gains.values():
        gain.bring_up_to_date()


def _lifetime_points(entry: PointsEntry) -> int:
    """What an entry adds to the lifetime points: what receipts gave, less what was taken back."""
    gave = entry
    if entry.source == PointsSource.REVERSE:
        gave = PointsEntry.objects.get(pk=entry.related_id, user=entry.user_id)
    return entry.points if gave.source == PointsSource.PHOTO_UPLOAD else 0
