"""Welcome points: once per phone for ever, with a mark that nobody without the keys can make."""

from accounts.models import PointsSource, RegistrationMark, User
from accounts.services.points import change_points
from ops.services import key_ring
from ops.services.encryption import keyed_hashes
from ops.transactions import in_transaction


@in_transaction
def welcome(*, person: User, phone: str, points: int) -> None:
    """Give a new person their welcome points, unless this phone had some before.

    Erasing an account keeps the mark, so that the same phone gets nothing again. A mark is found
    by its hash alone, under whatever key of the ring it was made.
    """
    key_hash, *older = keyed_hashes("registered phone", phone)
    if RegistrationMark.objects.filter(key_hash__in=older).exists():
        return
    mark, is_first = RegistrationMark.objects.get_or_create(
        key_hash=key_hash,
        defaults={
            "key_id": key_ring.newest("hash").id,
            "person": person,
            "points": points,
            "proof": proofs_of(key_hash=key_hash, person_id=person.pk, points=points)[0],
        },
    )
    if is_first and points:
        change_points(
            person_id=person.pk,
            points=mark.points,
            source=PointsSource.REGISTER,
            related_id=str(person.pk),
        )


def proofs_of(*, key_hash: str, person_id: int | None, points: int) -> list[str]:
    """What a mark may carry, under every key of the ring, newest first.

    Who writes rows without the keys of the platform cannot make one.
    """
    return keyed_hashes("registration mark", f"{key_hash}:{person_id}:{points}")
