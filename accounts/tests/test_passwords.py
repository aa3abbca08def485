"""Passwords of the console: the service, the command, and the demo."""

import getpass
import io

import pytest
from django.core.management import CommandError, call_command
from django.utils import translation

from accounts.errors import WrongPassword
from accounts.models import SignInLimit, User
from accounts.services import console_sign_in, passwords
from catalog.models import ShopMember
from config import demo
from config.management.commands.serve import Command as Serve
from ops import access
from ops.access import Access
from ops.errors import ValidationFailed
from tests.people import make_person

pytestmark = pytest.mark.django_db

PASSWORD = "s3cret-s3cret"


@pytest.fixture(autouse=True)
def fast_passwords(settings):
    settings.PASSWORD_HASHERS = ["accounts.tests.factories.CountingHasher"]


@pytest.fixture
def owner():
    return make_person(phone="13900139001", username="wang")


def sign_in(password, account="wang"):
    return console_sign_in.check_password(
        account=account, password=password, address="198.51.100.7"
    )


def is_password(person, password):
    return User.objects.get(pk=person.pk).check_password(password)


# --- The service ----------------------------------------------------------------------------------
def test_with_a_password_a_member_is_let_in(owner):
    passwords.set_password(person=owner, password=PASSWORD)
    assert sign_in(PASSWORD) == owner
    assert sign_in(PASSWORD, account="13900139001") == owner


@pytest.mark.parametrize("weak", ["", "short", "password", "12345678901"])
def test_a_weak_password_is_refused_and_nothing_is_set(owner, weak):
    passwords.set_password(person=owner, password=PASSWORD)
    with pytest.raises(ValidationFailed) as refusal:
        passwords.set_password(person=owner, password=weak)
    assert list(refusal.value.data) == ["password"]
    assert refusal.value.data["password"]
    assert is_password(owner, PASSWORD)


def test_a_new_password_writes_nothing_else(owner):
    User.objects.update(nickname="meanwhile")
    passwords.set_password(person=owner, password=PASSWORD)
    assert User.objects.get().nickname == "meanwhile"


def test_wrong_passwords_of_before_do_not_hold_a_new_one_back(owner):
    for account in ("wang", "13900139001"):
        for _number in range(5):
            with pytest.raises(WrongPassword):
                sign_in("wr0ng-wr0ng", account=account)
    other = SignInLimit.objects.create(
        purpose="account", key_hash="0" * 64, failures=9, last_failed_at=owner.created_at
    )
    passwords.set_password(person=owner, password=PASSWORD)
    assert sign_in(PASSWORD) == sign_in(PASSWORD, account="13900139001") == owner
    other.refresh_from_db()
    assert other.failures == 9


# --- The command ----------------------------------------------------------------------------------
def run(*arguments, typed=(), given=None, monkeypatch):
    """What the command says in English; the password is typed, or given by standard input."""
    answers = iter(typed)
    monkeypatch.setattr(getpass, "getpass", lambda _prompt: next(answers))
    monkeypatch.setattr("sys.stdin", io.StringIO(given))
    output = io.StringIO()
    with translation.override("en"):
        call_command("set_password", *arguments, stdout=output)
    assert list(answers) == []
    return output.getvalue()


@pytest.mark.parametrize("name", ["wang", "13900139001"])
def test_the_command_asks_twice(owner, monkeypatch, name):
    run(name, typed=[PASSWORD, PASSWORD], monkeypatch=monkeypatch)
    assert is_password(owner, PASSWORD)


@pytest.mark.parametrize("line", [f"{PASSWORD}\n", f"{PASSWORD}\r\n", PASSWORD, f"{PASSWORD}\n\n"])
def test_the_command_reads_standard_input(owner, monkeypatch, line):
    run("wang", "--stdin", given=line, monkeypatch=monkeypatch)
    assert is_password(owner, PASSWORD)


@pytest.mark.parametrize(
    ("arguments", "typed", "sentence"),
    [
        (["nobody"], [], "Nobody has this phone number or user name: nobody"),
        (["wang"], [PASSWORD, "another-s3cret"], "That was not the same twice"),
        (["wang"], ["12345678901"] * 2, "entirely numeric"),
    ],
)
def test_the_command_says_in_a_sentence_what_is_wrong(
    owner, monkeypatch, arguments, typed, sentence
):
    with pytest.raises(CommandError, match=sentence) as refusal:
        run(*arguments, typed=typed, monkeypatch=monkeypatch)
    assert refusal.value.returncode == 1
    assert User.objects.get().password == owner.password


@pytest.mark.parametrize("has_rights", [True, False])
def test_the_command_says_who_has_no_rights_yet(owner, monkeypatch, has_rights):
    held = Access(everywhere=frozenset({"accounts.view_tier"} if has_rights else ()))
    monkeypatch.setattr(access, "_find", lambda _person: held)
    said = run("wang", typed=[PASSWORD, PASSWORD], monkeypatch=monkeypatch)
    assert ("no rights in the console yet" in said) is not has_rights
    assert is_password(owner, PASSWORD)


# --- The demo -------------------------------------------------------------------------------------
def seed_demo():
    output = io.StringIO()
    with translation.override("en"):
        call_command("seed_demo", stdout=output)
    return output.getvalue()


def test_outside_debug_nobody_of_the_demo_has_a_password(settings):
    settings.DEBUG = False
    said = seed_demo()
    assert "set_password admin" in said
    people = User.objects.all()
    assert len(people) == 2
    assert [one for one in people if one.has_usable_password()] == []
    for account in ("admin", demo.MERCHANT_PHONE):
        with pytest.raises(WrongPassword):
            sign_in(demo.console_password(), account=account)


def test_in_debug_the_owner_of_the_demo_shop_has_the_printed_password(settings, capsys):
    settings.DEBUG = True
    assert "set_password" not in seed_demo()
    owner = ShopMember.objects.get().person
    password = demo.console_password()
    assert sign_in(password, account=demo.MERCHANT_PHONE) == owner
    assert sign_in(password, account="admin").is_superuser
    said = io.StringIO()
    with translation.override("en"):
        Serve(stdout=said).say_who_can_sign_in()
    assert f"Console: admin / {password}" in said.getvalue()
    assert f"Console of the shop: {demo.MERCHANT_PHONE} / {password}" in said.getvalue()


def test_somebody_without_a_name_or_a_phone_has_no_tries_to_forget():
    person = User.objects.create(wechat_openid="o")
    passwords.set_password(person=person, password=PASSWORD)
    assert person.check_password(PASSWORD)
