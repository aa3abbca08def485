"""The browsers in which people are signed in to the console, and how their sessions end."""

from datetime import timedelta

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth.models import AnonymousUser, Permission
from django.contrib.sessions.models import Session
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from accounts.console_session import COOKIE
from accounts.models import ConsoleDevice, User, UserStatus
from accounts.services import console_devices, passwords
from accounts.services.sign_in import change_status
from ops import access
from ops.access import Access
from ops.services import key_uses
from tests.people import make_person

pytestmark = pytest.mark.django_db

PASSWORD = "s3cret-s3cret"
INDEX, LOGIN = "/admin/", "/admin/login/"
LIST = "/admin/accounts/consoledevice/"


@pytest.fixture(autouse=True)
def fast_passwords(settings):
    settings.PASSWORD_HASHERS = ["accounts.tests.factories.CountingHasher"]


@pytest.fixture
def owner():
    return User.objects.create_superuser("wang", PASSWORD)


def sign_in(client, account="wang", **options):
    answer = client.post(LOGIN, {"username": account, "password": PASSWORD}, **options)
    assert answer.status_code == 302, answer.context["form"].errors
    return answer


def is_in(client):
    return client.get(INDEX).status_code == 200


# --- A row for each browser -----------------------------------------------------------------------
def test_a_sign_in_makes_a_row_and_a_cookie(client, owner):
    answer = sign_in(client, REMOTE_ADDR="198.51.100.7", headers={"User-Agent": "Browser/1"})
    device = ConsoleDevice.objects.get()
    assert (device.person, device.address, device.user_agent) == (
        owner,
        "198.51.100.7",
        "Browser/1",
    )
    cookie = answer.cookies[COOKIE]
    assert (cookie["path"], cookie["httponly"], cookie["samesite"]) == ("/admin/", True, "Lax")
    assert cookie["max-age"] == 180 * 86_400
    assert len(cookie.value) == 43
    assert cookie.value not in device.token_hash
    assert is_in(client)


@pytest.mark.parametrize("is_secure", [True, False])
def test_the_cookie_is_as_secure_as_the_sessions(client, owner, settings, is_secure):
    settings.SESSION_COOKIE_SECURE = is_secure
    answer = sign_in(client)
    assert bool(answer.cookies[COOKIE]["secure"]) is is_secure


def test_the_next_sign_in_in_the_same_browser_renews_its_row(client, owner):
    token = sign_in(client).cookies[COOKIE].value
    old = timezone.now() - timedelta(days=100)
    ConsoleDevice.objects.update(first_signed_in_at=old, last_activity_at=old)
    client.post("/admin/logout/")
    assert sign_in(client, headers={"User-Agent": "Browser/2"}).cookies[COOKIE].value == token
    device = ConsoleDevice.objects.get()
    assert (device.first_signed_in_at, device.user_agent) == (old, "Browser/2")
    assert timezone.now() - device.last_activity_at < timedelta(minutes=1)


def test_two_people_in_one_browser_have_a_row_each(client, owner):
    User.objects.create_superuser("li", PASSWORD)
    token = sign_in(client).cookies[COOKIE].value
    assert sign_in(client, account="li").cookies[COOKIE].value == token
    assert ConsoleDevice.objects.values("token_hash").distinct().count() == 1
    assert ConsoleDevice.objects.count() == 2


@pytest.mark.parametrize("planted", ["x", "t" * 43, "\u00e9" * 43])
def test_a_token_that_is_not_ours_is_replaced(client, owner, planted):
    client.cookies[COOKIE] = planted
    assert sign_in(client).cookies[COOKIE].value != planted


def test_a_row_that_was_ended_stays_so_and_its_token_is_replaced(client, owner):
    token = sign_in(client).cookies[COOKIE].value
    console_devices.end(ConsoleDevice.objects.get())
    assert sign_in(client).cookies[COOKIE].value != token
    first, second = ConsoleDevice.objects.order_by("pk")
    assert first.ended_at
    assert second.ended_at is None


def test_the_hash_is_made_anew_under_the_newest_key(owner, settings):
    device, token = console_devices.remember(
        person=owner, token="", address="", user_agent="x" * 300
    )
    assert len(device.user_agent) == 255
    settings.HASH_KEYS = ("n" * 60, *settings.HASH_KEYS)
    again, same = console_devices.remember(person=owner, token=token, address="", user_agent="")
    assert (again.pk, same) == (device.pk, token)
    assert again.token_hash != device.token_hash
    settings.HASH_KEYS = settings.HASH_KEYS[:1]
    assert console_devices.known_device(person=owner, token=token) == device


def test_a_hash_key_is_needed_while_a_device_is_known(owner):
    use = key_uses.passing["accounts.ConsoleDevice"]
    assert use.alive("any").count == 0
    device, _token = console_devices.remember(person=owner, token="", address="", user_agent="")
    found = use.alive("any")
    assert (found.count, found.until) == (1, device.last_activity_at + timedelta(days=180))
    console_devices.end(device)
    assert use.alive("any").count == 0


# --- How a session ends ---------------------------------------------------------------------------
def test_a_session_ends_after_a_working_day_whatever_is_done_in_it(client, owner, settings):
    settings.SESSION_COOKIE_AGE = 3600
    signed_in_at = timezone.now()
    answer = sign_in(client)
    session = client.session
    ends_at = session.get_expiry_date()
    assert abs(ends_at - signed_in_at - timedelta(hours=1)) < timedelta(minutes=1)
    assert 0 < answer.cookies[settings.SESSION_COOKIE_NAME]["max-age"] <= 3600
    session["anything"] = 1
    session.save()
    assert Session.objects.get().expire_date == ends_at, "and is not put off"
    Session.objects.update(expire_date=timezone.now())
    assert not is_in(client)


def test_a_working_day_has_twelve_hours(settings):
    assert settings.SESSION_COOKIE_AGE == 12 * 3600
    assert settings.SESSION_COOKIE_HTTPONLY
    assert settings.SESSION_COOKIE_SAMESITE == "Lax"


def test_a_device_that_is_ended_ends_its_sessions_and_no_others(client, owner):
    other = Client()
    sign_in(client)
    sign_in(other)
    first, _second = ConsoleDevice.objects.order_by("pk")
    console_devices.end(first)
    assert not is_in(client)
    assert is_in(other)
    assert Session.objects.count() == 1


def test_a_session_without_a_device_does_not_go_on(client, owner):
    sign_in(client)
    ConsoleDevice.objects.all().delete()
    assert not is_in(client)
    client.force_login(owner)
    assert is_in(client)
    session = client.session
    del session["console_device"]
    session.save()
    assert not is_in(client)


def test_a_session_on_a_device_of_another_does_not_go_on(client, owner):
    theirs, _token = console_devices.remember(
        person=make_person(), token="", address="", user_agent=""
    )
    client.force_login(owner)
    session = client.session
    session["console_device"] = theirs.pk
    session.save()
    assert not is_in(client)


@pytest.mark.parametrize("status", [UserStatus.BANNED, UserStatus.INACTIVE])
def test_whoever_is_banned_is_out_at_once_and_stays_out(client, owner, status):
    sign_in(client)
    change_status(person=owner, status=status)
    assert not is_in(client)
    change_status(person=owner, status=UserStatus.ACTIVE)
    assert not is_in(client), "a session of before is not good again"
    assert ConsoleDevice.objects.get().ended_at


def test_another_password_ends_the_sessions(client, owner):
    sign_in(client)
    passwords.set_password(person=owner, password="another-s3cret")
    assert not is_in(client)


def test_whoever_changes_their_own_password_stays_where_they_are(client, owner):
    other = Client()
    sign_in(client)
    sign_in(other)
    form = {
        "old_password": PASSWORD,
        "new_password1": "another-s3cret",
        "new_password2": "another-s3cret",
    }
    answer = client.post(reverse("admin:password_change"), form)
    assert answer.status_code == 302
    owner.refresh_from_db()
    assert owner.check_password("another-s3cret")
    assert is_in(client)
    assert not is_in(other)


def test_a_sign_out_ends_the_session_and_leaves_the_device_known(client, owner):
    token = sign_in(client).cookies[COOKIE].value
    client.post("/admin/logout/")
    assert not is_in(client)
    assert console_devices.known_device(person=owner, token=token)


# --- What it costs --------------------------------------------------------------------------------
def queries_of(client):
    with CaptureQueriesContext(connection) as queries:
        assert is_in(client)
    return [one["sql"] for one in queries if "accounts_consoledevice" in one["sql"]]


def test_a_request_costs_one_query_and_activity_moves_once_a_minute(client, owner):
    sign_in(client)
    assert len(queries_of(client)) == 1
    earlier = timezone.now() - timedelta(seconds=61)
    ConsoleDevice.objects.update(last_activity_at=earlier)
    assert len(queries_of(client)) == 2
    assert ConsoleDevice.objects.get().last_activity_at > earlier
    assert len(queries_of(client)) == 1


def test_other_pages_and_strangers_cost_none(client, owner):
    with CaptureQueriesContext(connection) as queries:
        client.get("/")
        client.get(LOGIN)
    assert list(queries) == []
    sign_in(client)
    with CaptureQueriesContext(connection) as queries:
        client.get("/")
    assert [one for one in queries if "consoledevice" in one["sql"]] == []


# --- The page -------------------------------------------------------------------------------------
@pytest.fixture
def rights(monkeypatch):
    """Give everybody these permissions at some shop, and nothing else."""

    def give(*permissions):
        held = Access(at_shops={1: frozenset(permissions)})
        monkeypatch.setattr(access, "_find", lambda _person: held)

    return give


@pytest.fixture
def devices(owner):
    """Two devices: one of a member, one of somebody else."""
    member, other = make_person(username="member"), make_person(username="other")
    return [
        console_devices.remember(person=person, token="", address="", user_agent="")[0]
        for person in (member, other)
    ]


def shown(client):
    return list(client.get(LIST).context["cl"].queryset.order_by("pk"))


def test_the_list_shows_ones_own_devices(client, devices, rights):
    rights("accounts.view_consoledevice")
    mine, theirs = devices
    client.force_login(mine.person)
    assert theirs not in shown(client)
    assert mine in shown(client)
    page = reverse("admin:accounts_consoledevice_change", args=[theirs.pk])
    assert client.get(page).status_code == 302


def test_whoever_runs_the_platform_sees_those_of_everybody(client, devices, owner):
    client.force_login(owner)
    assert shown(client)[:2] == devices
    page = client.get(reverse("admin:accounts_consoledevice_change", args=[devices[0].pk]))
    assert page.status_code == 200
    assert devices[0].token_hash not in page.content.decode()


def end(client, *devices):
    client.post(LIST, {"action": "end", "_selected_action": [one.pk for one in devices]})
    return [bool(ConsoleDevice.objects.get(pk=one.pk).ended_at) for one in devices]


def test_a_member_ends_their_own_sign_ins_alone(client, devices, rights):
    rights("accounts.view_consoledevice", "accounts.end_consoledevice")
    mine, theirs = devices
    client.force_login(mine.person)
    assert end(client, theirs) == [False]
    assert end(client, mine) == [True]


def test_without_the_permission_nothing_is_ended(client, devices, rights):
    rights("accounts.view_consoledevice")
    client.force_login(devices[0].person)
    assert end(client, devices[0]) == [False]


def test_whoever_runs_the_platform_ends_any(client, devices, owner):
    client.force_login(owner)
    assert end(client, *devices) == [True, True]


# --- What a session may do ------------------------------------------------------------------------
def test_permissions_are_those_of_the_access_alone(owner, rights):
    rights("accounts.view_tier")
    person = make_person(is_staff=True)
    person.user_permissions.set(Permission.objects.filter(codename="delete_user"))
    assert person.get_all_permissions() == {"accounts.view_tier"}
    assert person.has_perm("accounts.view_tier")
    assert not person.has_perm("accounts.view_tier", person)
    assert not person.has_perm("accounts.delete_user")
    assert person.has_module_perms("accounts")
    assert not person.has_module_perms("ops")
    User.objects.filter(pk=person.pk).update(status=UserStatus.BANNED)
    closed = User.objects.get(pk=person.pk)
    assert closed.get_all_permissions() == set()
    assert not closed.has_module_perms("accounts")
    assert AnonymousUser().get_all_permissions() == set()
    assert "accounts.delete_user" in owner.get_all_permissions()


def test_they_are_the_same_however_they_are_asked(rights):
    rights("accounts.view_tier")
    person = make_person()
    assert async_to_sync(person.ahas_perm)("accounts.view_tier")
    assert not async_to_sync(person.ahas_perm)("accounts.delete_user")
    assert async_to_sync(person.aget_all_permissions)() == {"accounts.view_tier"}
    assert async_to_sync(person.ahas_module_perms)("accounts")


def test_a_device_that_was_ended_is_nobody_anywhere(client, owner):
    stranger = {"REMOTE_ADDR": "203.0.113.9"}
    sign_in(client)
    assert "checks" in client.get("/health", **stranger).json()

    console_devices.end(ConsoleDevice.objects.get())

    assert "checks" not in client.get("/health", **stranger).json()
