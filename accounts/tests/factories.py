"""People for tests, and their phones."""

from itertools import count
from typing import ClassVar

from django.conf import settings

from accounts.models import PointsSource, User
from accounts.services import sign_in as service
from accounts.services.points import change_points

_numbers = count(1)


def make_user(**fields):
    """A customer; `points` are given through the ledger."""
    points = fields.pop("points", 0)
    number = next(_numbers)
    person = User.objects.create(
        **{"phone": f"137{number:08d}", "nickname": f"Guest {number}", **fields}
    )
    if points:
        give(person, points)
    return person


def give(person, points, **fields):
    """One entry of the person's ledger."""
    entry = change_points(
        person_id=person.pk, points=points, **{"source": PointsSource.ADJUST, **fields}
    )
    person.refresh_from_db()
    return entry


def make_sign_in(person=None, **device):
    """A sign-in as the service returns it: person, session and pair of tokens."""
    person = person or make_user()
    return service.sign_in_by_code(
        phone=person.phone, code=settings.SMS_FIXED_CODE, device=service.Device(**device)
    )


def sign_in(client, person=None, **device):
    """Let an APIClient send a real access token of this person from now on."""
    signed_in = make_sign_in(person, **device)
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {signed_in.pair.access_token}")
    return signed_in


class RecordingSender:
    """An SMS provider that keeps what it was given: `(phone, code)`."""

    sent: ClassVar[list[tuple[str, str]]] = []

    def send_code(self, *, phone, code):
        self.sent.append((phone, code))
