"""Sign-ins for tests, and the phone that gets the codes."""

from typing import ClassVar

from django.conf import settings
from django.contrib.auth.hashers import MD5PasswordHasher
from django.contrib.auth.models import Group

from accounts.models import User
from accounts.services import merging
from accounts.services import sign_in as service
from ops.access import Role
from tests.people import make_person


def make_sign_in(person=None, **device):
    """A sign-in as the service returns it: person, session and pair of tokens.

    From the machine itself, unless the device says otherwise: the fixed code holds nowhere else.
    """
    person = person or make_person()
    here = service.Device(**{"address": "127.0.0.1", **device})
    return service.sign_in_by_code(phone=person.phone, code=settings.SMS_FIXED_CODE, device=here)


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


class CountingHasher(MD5PasswordHasher):
    """A fast hasher for passwords that counts how often somebody hashed."""

    algorithm = "counting"
    count: ClassVar[int] = 0

    def encode(self, password, salt):
        CountingHasher.count += 1
        return super().encode(password, salt)


def make_staff(name="merger"):
    """Somebody of the platform's staff."""
    person = make_person(nickname=name, username=name, is_staff=True)
    person.groups.set(Group.objects.filter(name=Role.PLATFORM_STAFF))
    return User.objects.get(pk=person.pk)


def merge_into(survivor, merged, *, author=None, reason="Two phones of one person"):
    """Merge one account into another; both as they are after it."""
    cause = merging.merge(
        survivor_id=survivor.pk,
        merged_id=merged.pk,
        reason=reason,
        author_id=(author or make_staff(f"merger of {merged.pk}")).pk,
    )
    survivor.refresh_from_db()
    merged.refresh_from_db()
    return cause
