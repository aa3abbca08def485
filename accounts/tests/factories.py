"""Sign-ins for tests, and the phone that gets the codes."""

from dataclasses import dataclass
from datetime import timedelta
from typing import ClassVar

from django.conf import settings
from django.contrib.auth.hashers import MD5PasswordHasher
from django.contrib.auth.models import Group
from django.utils import timezone

from accounts.models import SecondFactor, User
from accounts.services import merging, second_factors
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


class Phone:
    """An app on a phone that shows codes; each is another one, as it is after half a minute."""

    def __init__(self):
        self.secret = second_factors.new_secret()

    def code(self, *, after=timedelta(0)):
        """What it shows now, or so long after."""
        return second_factors.code_at(self.secret, timezone.now() + after)

    def other(self):
        """Six digits that are none of those that are good now."""
        good = {self.code(after=steps * second_factors.STEP) for steps in range(-3, 4)}
        return next(code for code in ("000000", "111111", "222222", "333333") if code not in good)


@dataclass(frozen=True)
class Enrolled:
    """A second factor with its phone and its recovery codes."""

    phone: Phone
    factor: SecondFactor
    codes: list[str]


def enrol(person):
    """A second factor of this person, with no code used yet."""
    phone = Phone()
    factor, codes = second_factors.enrol(person=person, secret=phone.secret, code=phone.code())
    SecondFactor.objects.filter(pk=factor.pk).update(last_step=0)
    return Enrolled(phone, factor, codes)
