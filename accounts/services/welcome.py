"""Welcome points: once per phone and per openid for ever.

A mark says so, which nobody without the keys can make.
"""

from accounts.models import PointsSource, RegistrationMark, User
from accounts.services.points import change_points
from ops.services import key_ring
from ops.services.encryption import keyed_hashes
from ops.transactions import in_transaction


@in_transaction
def welcome(*, person: User, points: int, phone: str = "", openid: str = "") -> None:
    """Give a person their welcome points, unless this phone or this openid had some before.

    Both are marked from now on; with 0 points that is all. Erasing an account keeps the marks, so
    that the same phone or openid gets nothing again.
    """
    named = {"registered phone": phone, "registered openid": openid}
    *others, last = [(purpose, value) for purpose, value in named.items() if value]
    # The last mark says what was given: by then it is known whether the others are new.
    for other in others:
        if not _mark(person, *other, points=0):
            points = 0
    if _mark(person, *last, points=points) and points:
        change_points(
            person_id=person.pk,
            points=points,
            source=PointsSource.REGISTER,
            related_id=str(person.pk),
        )


def _mark(person: User, purpose: str, value: str, *, points: int) -> bool:
    """Mark a phone or an openid; returns whether nobody had done so before.

    A mark is found by its hash alone, under whatever key of the ring it was made.
    """
    key_hash, *older = keyed_hashes(purpose, value)
    if RegistrationMark.objects.filter(key_hash__in=older).exists():
        return False
    _row, is_new = RegistrationMark.objects.get_or_create(
        key_hash=key_hash,
        defaults={
            "key_id": key_ring.newest("hash").id,
            "person": person,
            "points": points,
            "proof": proofs_of(key_hash=key_hash, person_id=person.pk, points=points)[0],
        },
    )
    return is_new


def proofs_of(*, key_hash: str, person_id: int | None, points: int) -> list[str]:
    """What a mark may carry, under every key of the ring, newest first.

    Who writes rows without the keys of the platform cannot make one.
    """
    return keyed_hashes("registration mark", f"{key_hash}:{person_id}:{points}")
