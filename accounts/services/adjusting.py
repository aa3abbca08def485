"""Points that are booked by hand: each has a cause that says who did it, why, and what for."""

import json

from django.db.models import F
from django.utils.translation import gettext as _

from accounts.errors import OwnPoints
from accounts.models import PointsAdjustment, PointsEntry, PointsSource, User
from accounts.services.points import Change, lock_person, write_entries
from ops import request_context
from ops.errors import NotFound, ValidationFailed
from ops.services import audit, key_ring
from ops.services.encryption import keyed_hashes
from ops.transactions import in_transaction

LONGEST_REASON = 500  # characters


@in_transaction
def adjust(
    *, person_id: int, points: int, reason: str, author_id: int | None = None, finding: str = ""
) -> PointsEntry:
    """Give a person `points`, or take them where they are negative, and say why.

    `author_id` is the person who decided it, and may not be the one concerned; None: whoever acts
    in the request or the command at hand. The caller has asked whether they may. `finding` is what
    of `check_integrity` it answers. Locks the person until commit; audited. Raises ValidationFailed
    for no points or no reason, NotFound, OwnPoints, AccountClosed for an account that was merged
    into another, and NotEnoughPoints where less is there than is to be taken: the balance is never
    below nothing, and nothing is taken in part.
    """
    if not points:
        raise ValidationFailed({"points": [_("Say how many.")]})
    return _book(
        person_id=person_id, points=points, reason=reason, author_id=author_id, finding=finding
    )


@in_transaction
def correct(
    *, entry_id: int, reason: str, author_id: int | None = None, finding: str = ""
) -> PointsEntry:
    """Take back exactly what an entry did, by another one; the entry stays as it is.

    Lifetime points that a receipt's entry gave go with it. The same correction again changes
    nothing. Locks the person until commit; audited. Raises what `adjust` raises, and NotFound for
    no such entry.
    """
    entry = PointsEntry.objects.filter(pk=entry_id).first()
    if entry is None:
        raise NotFound
    lock_person(entry.user_id)
    same = PointsAdjustment.objects.filter(corrects=entry).first()
    if same is not None:
        return PointsEntry.objects.get(source=PointsSource.ADJUST, related_id=str(same.pk))
    return _book(
        person_id=entry.user_id,
        points=-entry.points,
        reason=reason,
        author_id=author_id,
        finding=finding,
        corrects=entry,
    )


def proofs_of(cause: PointsAdjustment) -> list[str]:
    """What a cause may carry, under every key of the ring, newest first.

    Who writes rows without the keys of the platform cannot make one.
    """
    said = [
        cause.person_id, cause.points, cause.corrects_id, cause.finding,
        cause.author_id, cause.system_user, cause.reason,
    ]  # fmt: skip
    return keyed_hashes("points adjustment", json.dumps(said, ensure_ascii=False))


def _book(
    *,
    person_id: int,
    points: int,
    reason: str,
    author_id: int | None,
    finding: str,
    corrects: PointsEntry | None = None,
) -> PointsEntry:
    if not (reason := reason.strip()):
        raise ValidationFailed({"reason": [_("Say why.")]})
    acting = request_context.actor()
    author_id = acting.person_id if author_id is None else author_id
    if author_id == person_id:
        raise OwnPoints
    if not User.objects.filter(pk=person_id).exists():
        raise NotFound
    person = lock_person(person_id)
    before = person.total_points
    cause = PointsAdjustment(
        person=person,
        points=points,
        corrects=corrects,
        finding=finding,
        author_id=author_id,
        system_user="" if author_id is not None else acting.system_user,
        reason=reason[:LONGEST_REASON],
        key_id=key_ring.newest("hash").id,
    )
    cause.proof = proofs_of(cause)[0]
    cause.save(force_insert=True)
    change = Change(
        person=person, points=points, source=PointsSource.ADJUST, related_id=str(cause.pk)
    )
    (entry,) = write_entries([change])
    if corrects is not None and corrects.source == PointsSource.PHOTO_UPLOAD:
        User.objects.filter(pk=person_id).update(lifetime_points=F("lifetime_points") + points)
    audit.record(
        action="user.adjust_points",
        row=person,
        before={"total_points": before},
        after={"total_points": person.total_points, "entry": entry.sequence},
        reason=cause.reason,
        actor_id=author_id,
    )
    return entry
