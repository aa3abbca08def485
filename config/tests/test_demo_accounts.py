"""Outside DEBUG no account of the demo is open: `check --database default` and `migrate` say so."""

from pathlib import Path

import pytest
from django.core.checks import run_checks
from django.core.exceptions import ImproperlyConfigured
from django.core.management import call_command
from django.db import DEFAULT_DB_ALIAS, DatabaseError

from accounts.models import User, UserStatus
from accounts.services import passwords, sign_in
from config import checks, demo, demo_accounts
from config.demo_accounts import ADMIN_NAME, MERCHANT_PHONE
from tests.people import make_person

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def fast_passwords(settings):
    settings.PASSWORD_HASHERS = ["accounts.tests.factories.CountingHasher"]


def named(*databases):
    """Which accounts the checks name for these databases, DEBUG being off."""
    found = run_checks(databases=databases or [DEFAULT_DB_ALIAS])
    return [error.msg.split()[0] for error in found if error.id == "config.E003"]


@pytest.fixture
def of_development(settings):
    """A database that was made with DEBUG and is used without."""
    settings.DEBUG = True
    demo.load()
    settings.DEBUG = False


def test_what_was_made_in_development_opens_nothing_elsewhere(of_development):
    assert named() == [ADMIN_NAME, MERCHANT_PHONE]


def test_in_development_they_are_as_they_are(of_development, settings):
    settings.DEBUG = True
    assert named() == []


def test_only_who_asks_for_the_database_is_told(of_development):
    assert [error for error in run_checks() if error.id == "config.E003"] == []


def test_another_password_makes_the_administrators_account_somebodys(of_development):
    admin = User.objects.get(username=ADMIN_NAME)
    passwords.set_password(person=admin, password="s3cret-s3cret")
    assert named() == [MERCHANT_PHONE]


def test_closing_them_is_enough(of_development):
    for person in User.objects.all():
        sign_in.change_status(person=person, status=UserStatus.INACTIVE)
    assert named() == []


def test_a_demo_outside_of_development_is_open_by_the_owners_phone(settings):
    """Whoever has this number gets its codes."""
    settings.DEBUG = False
    demo.load()
    assert named() == [MERCHANT_PHONE]


def test_without_the_demo_a_name_is_a_name(settings):
    settings.DEBUG = False
    User.objects.create_superuser(ADMIN_NAME, "s3cret-s3cret")
    make_person(phone=MERCHANT_PHONE, is_staff=True)
    assert named() == []


def test_before_the_first_migration_there_is_nobody(settings, monkeypatch):
    settings.DEBUG = False

    def away():
        raise DatabaseError

    monkeypatch.setattr(checks, "default_accounts", away)
    assert named() == []


def test_whoever_loads_it_there_is_told(settings, capsys):
    settings.DEBUG = False
    call_command("seed_demo")
    assert MERCHANT_PHONE in capsys.readouterr().out
    assert demo_accounts.is_loaded()


def test_no_server_starts_while_one_of_them_is_open(of_development):
    with pytest.raises(ImproperlyConfigured, match=rf"{ADMIN_NAME}, {MERCHANT_PHONE}"):
        demo_accounts.refuse_default_accounts()
    for person in User.objects.all():
        sign_in.change_status(person=person, status=UserStatus.INACTIVE)
    demo_accounts.refuse_default_accounts()


def test_in_development_servers_start_with_them(of_development, settings):
    settings.DEBUG = True
    demo_accounts.refuse_default_accounts()


def test_a_start_goes_on_while_the_database_cannot_be_asked(settings, monkeypatch, caplog):
    settings.DEBUG = False

    def away():
        raise DatabaseError

    monkeypatch.setattr(demo_accounts, "default_accounts", away)
    demo_accounts.refuse_default_accounts()
    assert "The accounts of the demo could not be looked for" in caplog.text


@pytest.mark.parametrize("entry", ["wsgi.py", "asgi.py", "management/commands/serve.py"])
def test_each_entry_of_a_server_asks(entry):
    text = (Path(demo_accounts.__file__).parent / entry).read_text(encoding="utf-8")
    asked = text.partition("import refuse_stored_settings")[2]
    assert "refuse_default_accounts" in asked
