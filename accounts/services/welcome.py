"""Welcome points: once per phone for ever, with a mark that nobody without the keys can make."""

from django.db import transaction

from accounts.models import PointsSource, RegistrationMark, User
from accounts.services.points import change_points
from ops.services.encryption import keyed_hash


@transaction.atomic
def welcome(*, person: User, phone: str, points: int) -> None:
    """Give a new person their welcome points, unless this phone had some before.

    Erasing an account keeps the mark, so that the same phone gets nothing again.
    """
    key_hash = keyed_hash("registered phone", phone)
    mark, is_first = RegistrationMark.objects.get_or_create(
        key_hash=key_hash,
        defaults={
            "person": person,
            "points": points,
            "proof": proof_of(key_hash=key_hash, person_id=person.pk, points=points),
        },
    )
    if is_first and points:
        change_points(
            person_id=person.pk,
            points=mark.points,
            source=PointsSource.REGISTER,
            related_id=str(person.pk),
        )


def proof_of(*, key_hash: str, person_id: int | None, points: int) -> str:
    """What a mark must carry: who writes rows without the keys of the platform cannot make it."""
    return keyed_hash("registration mark", f"{key_hash}:{person_id}:{points}")
