"""The console as a site: who may enter, what the form says, and what its own pages answer."""

import pytest
from django.contrib import admin
from django.contrib.contenttypes.models import ContentType
from django.core.cache import cache
from django.urls import reverse

from accounts.models import LimitPurpose, SignInLimit, User, UserStatus
from accounts.services import passwords
from accounts.services.console_sign_in import FREE_TRIES
from accounts.tests.test_console_sign_in import fail
from config.console_site import ConsoleSite
from ops import access
from ops.access import Access
from tests.people import make_person

pytestmark = pytest.mark.django_db

PASSWORD = "s3cret-s3cret"
LOGIN = "/admin/login/"
PHONE = "13900139001"


@pytest.fixture(autouse=True)
def fast_passwords(settings):
    settings.PASSWORD_HASHERS = ["accounts.tests.factories.CountingHasher"]


@pytest.fixture
def rights(monkeypatch):
    """Give everybody these permissions, and nothing else."""

    def give(*permissions):
        held = Access(everywhere=frozenset(permissions))
        monkeypatch.setattr(access, "_find", lambda _person: held)

    give()
    return give


@pytest.fixture
def member():
    person = make_person(phone=PHONE, username="wang")
    passwords.set_password(person=person, password=PASSWORD, is_own_choice=True)
    return person


def sign_in(client, password=PASSWORD, account=PHONE, language="en"):
    form = {"username": account, "password": password}
    return client.post(LOGIN, form, headers={"Accept-Language": language})


def refusals(answer):
    """What the form says, when it let nobody in."""
    assert answer.status_code == 200
    assert "_auth_user_id" not in answer.client.session
    errors = answer.context["form"].errors
    assert list(errors) == ["__all__"]
    return list(errors["__all__"])


def test_the_console_is_the_site_of_the_admin():
    assert isinstance(admin.site, ConsoleSite)


# --- Who may enter --------------------------------------------------------------------------------
@pytest.mark.parametrize("account", [PHONE, "wang"])
def test_whoever_has_any_right_enters_without_being_staff(client, member, rights, account):
    rights("accounts.view_tier")
    assert not member.is_staff
    assert sign_in(client, account=account).status_code == 302
    assert client.get("/admin/").status_code == 200
    assert client.get("/admin/accounts/tier/").status_code == 200
    assert client.get("/admin/accounts/user/").status_code == 403


def test_whoever_has_none_is_told_so_after_the_right_password_alone(client, member, rights):
    assert refusals(sign_in(client)) == ["This account has no rights in the console."]
    assert refusals(sign_in(client, "wr0ng-wr0ng")) == ["The name or the password is wrong."]


def test_being_staff_is_no_right(client, member, rights):
    User.objects.update(is_staff=True)
    refusals(sign_in(client))
    client.force_login(User.objects.get())
    assert client.get("/admin/").status_code == 302


def test_whoever_lost_their_rights_is_out_at_the_next_request(client, member, rights):
    rights("accounts.view_tier")
    sign_in(client)
    rights()
    assert client.get("/admin/").status_code == 302


# --- What the form says ---------------------------------------------------------------------------
@pytest.mark.parametrize(("account", "password"), [(PHONE, "x"), ("nobody", PASSWORD)])
def test_a_wrong_name_and_a_wrong_password_are_told_alike(client, member, account, password):
    answer = sign_in(client, password, account)
    assert refusals(answer) == ["The name or the password is wrong."]


@pytest.mark.parametrize("status", [UserStatus.INACTIVE, UserStatus.BANNED])
def test_a_closed_account_is_told_so(client, member, rights, status):
    rights("accounts.view_tier")
    User.objects.update(status=status)
    told = refusals(sign_in(client))
    assert told == ["This account is inactive or banned. Please ask the shop."]


def test_a_delay_is_told_in_seconds(client, member, rights):
    rights("accounts.view_tier")
    for _number in range(FREE_TRIES[LimitPurpose.ACCOUNT]):
        refusals(sign_in(client, "wr0ng-wr0ng"))
    told = refusals(sign_in(client))
    assert told == ["Too many wrong passwords. Please wait 5 seconds."]
    SignInLimit.objects.update(blocked_until=None)
    assert sign_in(client).status_code == 302


def test_the_browser_of_the_owner_goes_on_beside_a_stranger(client, member, rights):
    rights("accounts.view_tier")
    sign_in(client)
    client.post("/admin/logout/")
    fail(100, account=PHONE, address="127.0.0.1")
    assert sign_in(client).status_code == 302
    stranger = type(client)()
    (told,) = refusals(sign_in(stranger))
    assert "900 seconds" in told


@pytest.mark.parametrize("form", [{}, {"username": "wang"}, {"password": "x"}, {"username": "\0"}])
def test_half_a_form_tries_nothing(client, member, form):
    assert client.post(LOGIN, form).status_code == 200
    assert not SignInLimit.objects.exists()


def test_the_old_password_is_asked_for_within_the_limits_as_well(client, member, rights):
    rights("accounts.view_tier")
    client.force_login(member)

    def told(old):
        form = {
            "old_password": old,
            "new_password1": "an0ther-s3cret",
            "new_password2": "an0ther-s3cret",
        }
        answer = client.post("/admin/password_change/", form, headers={"Accept-Language": "en"})
        return answer.context["form"].errors["old_password"] if answer.context else None

    for _number in range(FREE_TRIES[LimitPurpose.DEVICE]):
        assert "incorrectly" in told("wr0ng-wr0ng")[0]
    assert told(PASSWORD) == ["Too many wrong passwords. Please wait 5 seconds."]
    assert User.objects.get(pk=member.pk).check_password(PASSWORD)
    assert sign_in(type(client)()).status_code == 302, "which holds no sign-in back"
    SignInLimit.objects.update(blocked_until=None)
    assert told(PASSWORD) is None
    assert User.objects.get(pk=member.pk).check_password("an0ther-s3cret")


# --- Its own pages --------------------------------------------------------------------------------
def found(client, **query):
    answer = client.get(reverse("admin:search"), query, headers={"Accept-Language": "en"})
    assert answer.status_code == 200
    return [one.title for one in answer.context["results"]] if answer.context else []


def test_the_search_finds_pages_that_one_may_see_and_forgets_them(client, member, rights):
    rights("accounts.view_tier")
    client.force_login(member)
    cache.clear()
    assert found(client, s="TIER") == ["Tiers"]
    assert found(client, s="peo") == ["Tiers"]  # the app is called so
    rights("accounts.view_user")
    assert found(client, s="tier") == []
    assert found(client, s="") == found(client) == []


@pytest.mark.parametrize("page", ["x", "0", "-1", "2", "999999", "1e3", "", "%00"])
def test_a_page_that_is_none_is_the_first(client, member, rights, page):
    rights("accounts.view_tier")
    client.force_login(member)
    assert found(client, s="tier", page=page) == ["Tiers"]


@pytest.mark.parametrize("is_signed_in", [True, False])
def test_no_shortcut_tells_which_rows_exist(client, is_signed_in):
    person = User.objects.create_superuser("root", PASSWORD)
    if is_signed_in:
        client.force_login(person)
    kind = ContentType.objects.get_for_model(User)
    answers = [
        client.get(f"/admin/r/{kind.pk}/{pk}/", headers={"Accept-Language": "en"})
        for pk in (person.pk, person.pk + 1)
    ]
    assert [one.status_code for one in answers] == [404, 404]
    assert answers[0].content == answers[1].content


def test_strangers_are_shown_the_way_in_and_come_back_where_they_wanted(client, member, rights):
    rights("accounts.view_tier")
    away = client.get("/admin/accounts/tier/")
    assert away.status_code == 302
    form = {"username": PHONE, "password": PASSWORD}
    back = client.post(away["Location"], form)
    assert back["Location"] == "/admin/accounts/tier/"


def test_who_has_no_rights_and_knocks_is_noted(client, cast, caplog):
    client.force_login(cast.customer)
    assert client.get("/admin/catalog/product/").status_code == 302
    assert f'"event": "wall_refused", "actor_id": {cast.customer.pk}' in caplog.text
