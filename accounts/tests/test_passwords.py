"""Passwords of the console: the service, the command, and the demo."""

import getpass
import io

import pytest
from django.core.management import CommandError, call_command
from django.utils import translation

from accounts.errors import InvalidPhone, WrongPassword
from accounts.models import SignInLimit, User
from accounts.services import console_sign_in, passwords, staff
from catalog.models import ShopMember
from config import demo
from config.demo_accounts import MERCHANT_PHONE
from config.management.commands.serve import Command as Serve
from ops import access
from ops.access import Access
from ops.errors import ValidationFailed
from tests.people import make_person

pytestmark = pytest.mark.django_db

PASSWORD, ANOTHER = "s3cret-s3cret", "an0ther-s3cret"


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


# --- Changed by whoever it is for -----------------------------------------------------------------
def test_a_password_that_somebody_else_set_has_to_be_changed(owner):
    passwords.set_password(person=owner, password=PASSWORD)
    owner.refresh_from_db()
    assert owner.must_change_password


def test_the_same_password_again_is_no_choice_of_ones_own(owner):
    passwords.set_password(person=owner, password=PASSWORD)
    before = User.objects.values().get()
    with pytest.raises(ValidationFailed) as refusal:
        passwords.set_password(person=owner, password=PASSWORD, is_own_choice=True)
    assert list(refusal.value.data) == ["password"]
    assert User.objects.values().get() == before


def test_ones_own_choice_is_all_that_was_wanted(owner):
    passwords.set_password(person=owner, password=PASSWORD)
    passwords.set_password(person=owner, password=ANOTHER, is_own_choice=True)
    owner.refresh_from_db()
    assert not owner.must_change_password
    passwords.set_password(person=owner, password=ANOTHER, is_own_choice=True)  # which harms nobody
    assert is_password(owner, ANOTHER)


def test_a_form_that_was_open_meanwhile_does_not_let_them_off(owner):
    shown = User.objects.get()
    passwords.set_password(person=owner, password=PASSWORD)
    shown.save()
    assert User.objects.get().must_change_password


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


@pytest.mark.parametrize("arguments", [[], ["--own"]])
def test_what_an_operator_sets_has_to_be_changed_unless_it_is_their_own(
    owner, monkeypatch, arguments
):
    said = run("wang", *arguments, typed=[PASSWORD, PASSWORD], monkeypatch=monkeypatch)
    assert User.objects.get().must_change_password is not bool(arguments)
    assert ("have to change it" in said) is not bool(arguments)


# --- The first accounts ---------------------------------------------------------------------------
def create(*arguments, typed=(), monkeypatch, named=""):
    """What `createsuperuser` says in English."""
    answers = iter(typed)
    monkeypatch.setattr(getpass, "getpass", lambda _prompt: next(answers))
    monkeypatch.setattr("builtins.input", lambda _prompt: named)
    output = io.StringIO()
    with translation.override("en"):
        call_command("createsuperuser", *arguments, stdout=output)
    assert list(answers) == []
    return output.getvalue()


@pytest.mark.parametrize("is_own", [True, False])
def test_a_superuser_is_made_by_questions(monkeypatch, is_own):
    own = ["--own"] if is_own else []
    said = create(*own, typed=[PASSWORD, PASSWORD], named="root", monkeypatch=monkeypatch)
    assert "root may do everything" in said
    assert ("have to change" in said) is not is_own
    root = User.objects.get()
    assert (root.username, root.is_superuser, root.is_staff) == ("root", True, True)
    assert root.must_change_password is not is_own
    assert root.check_password(PASSWORD)


def test_a_superuser_is_made_without_questions(monkeypatch):
    monkeypatch.setenv("DJANGO_SUPERUSER_USERNAME", "root")
    monkeypatch.setenv("DJANGO_SUPERUSER_PASSWORD", PASSWORD)
    create("--noinput", monkeypatch=monkeypatch)
    assert User.objects.get().must_change_password


def test_without_a_password_nobody_signs_in_as_the_superuser(monkeypatch):
    monkeypatch.delenv("DJANGO_SUPERUSER_PASSWORD", raising=False)
    assert "change" not in create("--noinput", "--username=root", monkeypatch=monkeypatch)
    root = User.objects.get()
    assert not root.has_usable_password()
    assert not root.must_change_password


@pytest.mark.parametrize(
    ("arguments", "password", "sentence"),
    [
        ([], PASSWORD, "Say who it is"),
        (["--username=13800138000"], PASSWORD, "more than digits"),
        (["--username=wang"], PASSWORD, "Somebody has this user name already"),
        (["--username=root"], "root123456", "too common|easy to guess"),
    ],
)
def test_a_superuser_who_cannot_be_is_refused_in_a_sentence(
    owner, monkeypatch, arguments, password, sentence
):
    monkeypatch.delenv("DJANGO_SUPERUSER_USERNAME", raising=False)
    monkeypatch.setenv("DJANGO_SUPERUSER_PASSWORD", password)
    with pytest.raises(CommandError, match=sentence):
        create("--noinput", *arguments, monkeypatch=monkeypatch)
    assert User.objects.get() == owner


def test_a_superuser_has_a_phone_that_nobody_else_has(owner):
    for phone, refusal in (("13900139001", ValidationFailed), ("110", InvalidPhone)):
        with pytest.raises(refusal):
            staff.make_superuser(username="root", phone=phone)
    assert User.objects.count() == 1
    root = staff.make_superuser(username="root", phone="13900139002")
    assert (root.phone, root.has_usable_password()) == ("13900139002", False)


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
    for account in ("admin", MERCHANT_PHONE):
        with pytest.raises(WrongPassword):
            sign_in(demo.console_password(), account=account)


def test_in_debug_the_owner_of_the_demo_shop_has_the_printed_password(settings, capsys):
    settings.DEBUG = True
    assert "set_password" not in seed_demo()
    owner = ShopMember.objects.get().person
    password = demo.console_password()
    assert sign_in(password, account=MERCHANT_PHONE) == owner
    assert sign_in(password, account="admin").is_superuser
    said = io.StringIO()
    with translation.override("en"):
        Serve(stdout=said).say_who_can_sign_in()
    assert f"Console: admin / {password}" in said.getvalue()
    assert f"Console of the shop: {MERCHANT_PHONE} / {password}" in said.getvalue()


def test_somebody_without_a_name_or_a_phone_has_no_tries_to_forget():
    person = User.objects.create(wechat_openid="o")
    passwords.set_password(person=person, password=PASSWORD)
    assert person.check_password(PASSWORD)
