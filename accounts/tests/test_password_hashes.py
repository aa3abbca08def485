"""How passwords are hashed: Argon2, what was hashed before goes on, and time tells nothing."""

from typing import ClassVar

import pytest
from django.conf import settings as project_settings
from django.contrib.auth import hashers
from django.contrib.auth.hashers import MD5PasswordHasher

from accounts.errors import WrongPassword
from accounts.models import User
from accounts.services import console_sign_in
from config.password_hasher import ConsoleHasher
from tests.people import make_person

pytestmark = pytest.mark.django_db

PASSWORD, WRONG = "s3cret-s3cret", "wr0ng-wr0ng"


class Noting(MD5PasswordHasher):
    """A fast hasher that notes each time that somebody hashed."""

    done: ClassVar[list[str | None]] = []

    def encode(self, password, salt):
        self.done.append(self.algorithm)
        return super().encode(password, salt)


class New(Noting):
    algorithm = "new"


class Old(Noting):
    algorithm = "old"


@pytest.fixture
def two_kinds(settings):
    """Passwords of a kind of today and of one of before."""
    settings.PASSWORD_HASHERS = [f"{__name__}.New", f"{__name__}.Old"]


@pytest.fixture
def person():
    return make_person(username="wang", phone="13900139001")


def keep(person, encoded):
    User.objects.filter(pk=person.pk).update(password=encoded)
    person.refresh_from_db()


def sign_in(password, account="wang"):
    return console_sign_in.check_password(
        account=account, password=password, address="198.51.100.7"
    )


def test_a_new_password_is_hashed_by_argon2():
    encoded = hashers.make_password(PASSWORD)
    assert encoded.startswith("argon2$argon2id$v=19$m=47104,t=2,p=1$")
    assert hashers.check_password(PASSWORD, encoded)
    assert not hashers.check_password(WRONG, encoded)
    assert isinstance(hashers.get_hasher(), ConsoleHasher)


def test_what_django_hashed_before_is_read_still():
    assert project_settings.PASSWORD_HASHERS[1].endswith("PBKDF2PasswordHasher")
    of_before = hashers.make_password(PASSWORD, hasher="pbkdf2_sha256")
    assert hashers.check_password(PASSWORD, of_before)


def test_an_old_hash_is_made_anew_at_the_next_sign_in(two_kinds, person):
    keep(person, hashers.make_password(PASSWORD, hasher="old"))
    with pytest.raises(WrongPassword):
        sign_in(WRONG)
    assert User.objects.get().password.startswith("old$")
    signed_in = sign_in(PASSWORD)
    kept = User.objects.get().password
    assert kept.startswith("new$")
    assert signed_in.password == kept, "or the session would end with the next request"
    sign_in(PASSWORD)
    assert User.objects.get().password == kept


def test_whoever_confirms_their_password_stays_signed_in(two_kinds, person):
    """A session ends when the hash changes that it began with."""
    keep(person, hashers.make_password(PASSWORD, hasher="old"))
    before = person.password
    console_sign_in.confirm_password(person=person, password=PASSWORD)
    assert User.objects.get().password == before


def test_a_password_of_this_moment_is_not_undone(two_kinds, person, monkeypatch):
    keep(person, hashers.make_password(PASSWORD, hasher="old"))
    make = hashers.make_password

    def meanwhile(*arguments, **options):
        User.objects.update(password="new$of$somebody else")
        return make(*arguments, **options)

    monkeypatch.setattr(hashers, "make_password", meanwhile)
    sign_in(PASSWORD)
    assert User.objects.get().password == "new$of$somebody else"


@pytest.mark.parametrize(
    ("account", "encoded"),
    [
        ("wang", lambda: hashers.make_password(PASSWORD, hasher="old")),
        ("wang", lambda: hashers.make_password(PASSWORD, hasher="new")),
        ("wang", lambda: hashers.make_password(None)),
        ("wang", lambda: "sha0$of$a kind that nobody knows"),
        ("wang", str),  # as of whoever never had one
        ("nobody", str),
    ],
    ids=["old", "new", "unusable", "unknown kind", "none", "nobody"],
)
def test_a_wrong_try_costs_the_same_whatever_is_there(two_kinds, person, account, encoded):
    keep(person, encoded())
    Noting.done.clear()
    with pytest.raises(WrongPassword):
        sign_in(WRONG, account=account)
    assert sorted(map(str, Noting.done)) == ["new", "old"]
