"""A password that somebody else set opens one page of the console: that on which it is changed."""

import pytest

from accounts.models import User
from accounts.services import passwords
from accounts.tests.factories import RecordingSender
from catalog.models import Shop, ShopRole
from catalog.services.members import join
from ops.services import maintenance
from tests.console import console_of, fill_in, refused_unchanged
from tests.people import make_cast, make_person

pytestmark = pytest.mark.django_db

OF_OTHERS, OWN = "s3cret-s3cret", "an0ther-s3cret"
PHONE = "13900139001"
PAGE = "/admin/password_change/"


@pytest.fixture(autouse=True)
def fast_passwords(settings):
    settings.PASSWORD_HASHERS = ["accounts.tests.factories.CountingHasher"]


@pytest.fixture
def owner():
    person = make_person(phone=PHONE)
    shop = Shop.objects.create(name="Teahouse")
    join(shop_id=shop.pk, person=person, role=ShopRole.OWNER)
    passwords.set_password(person=person, password=OF_OTHERS)
    return User.objects.get(pk=person.pk)


def by_password(client, password=OF_OTHERS):
    return client.post("/admin/login/", {"username": PHONE, "password": password})


@pytest.fixture
def by_code(client, settings, django_capture_on_commit_callbacks):
    """Let the owner enter by a code."""

    def entering():
        settings.SMS_SENDER = "accounts.tests.factories.RecordingSender"
        address = "/admin/login/?way=code"
        with django_capture_on_commit_callbacks(execute=True):
            client.post(address, {"phone": PHONE, "ask": "1"})
        code = RecordingSender.sent[-1][1]
        assert client.post(address, {"phone": PHONE, "code": code}).status_code == 302

    return entering


def change(client, *, new=OWN, **fields):
    form = {"new_password1": new, "new_password2": new, **fields}
    return client.post(PAGE, form, headers={"Accept-Language": "en"})


@pytest.mark.parametrize(
    "address",
    [
        "/admin/",
        "/admin/catalog/product/",
        "/admin/catalog/product/add/",
        "/admin/autocomplete/?app_label=catalog&model_name=product&field_name=category",
        "/admin/search/?s=pro",
        "/admin/password_change/done/",
        "/admin/no/such/page/",
    ],
)
def test_no_page_opens_before_it_is_changed(client, owner, address):
    assert by_password(client).status_code == 302
    answer = client.get(address)
    assert (answer.status_code, answer["Location"]) == (302, PAGE)


def test_nothing_is_done_before_it_is_changed(client, owner):
    by_password(client)
    with refused_unchanged():
        answer = client.post("/admin/catalog/product/add/", {"name": "Tea"})
    assert answer["Location"] == PAGE


def test_the_page_says_why_and_leads_out(client, owner):
    by_password(client)
    page = client.get(PAGE, headers={"Accept-Language": "en"}).content.decode()
    assert "Somebody else set your password" in page
    assert 'action="/admin/logout/"' in page
    assert 'href="/admin/catalog/product/"' not in page, "no menu of what does not open"
    assert client.get("/admin/jsi18n/").status_code == 200


def test_the_way_out_is_open(client, owner):
    by_password(client)
    assert client.post("/admin/logout/").status_code == 200
    assert "_auth_user_id" not in client.session


def test_once_it_is_changed_the_console_opens(client, owner):
    by_password(client)
    assert change(client, old_password=OF_OTHERS).status_code == 302
    assert client.get("/admin/").status_code == 200
    assert not User.objects.get().must_change_password
    assert by_password(type(client)(), OWN).status_code == 302


@pytest.mark.parametrize(
    ("fields", "at"),
    [
        ({"old_password": "wr0ng-wr0ng"}, "old_password"),
        ({}, "old_password"),
        ({"old_password": OF_OTHERS, "new": OF_OTHERS}, "new_password2"),
        ({"old_password": OF_OTHERS, "new": "12345678"}, "new_password2"),
    ],
)
def test_what_is_no_change_leaves_it_closed(client, owner, fields, at):
    by_password(client)
    answer = change(client, **fields)
    assert list(answer.context["form"].errors) == [at]
    assert client.get("/admin/")["Location"] == PAGE
    assert User.objects.get().check_password(OF_OTHERS)


def test_every_sign_in_is_held_not_the_first_alone(client, owner):
    by_password(client)
    other = type(client)()
    by_password(other)
    assert other.get("/admin/")["Location"] == client.get("/admin/")["Location"] == PAGE


def test_a_password_that_is_set_while_they_work_ends_their_work(client, owner):
    by_password(client)
    change(client, old_password=OF_OTHERS)
    passwords.set_password(person=User.objects.get(), password="third-s3cret-x")
    assert client.get("/admin/")["Location"].startswith("/admin/login/")


# --- Whoever enters by a code ---------------------------------------------------------------------
def test_by_a_code_the_password_that_others_know_is_changed_unasked(client, owner, by_code):
    by_code()
    assert client.get("/admin/")["Location"] == PAGE
    assert 'name="old_password"' not in client.get(PAGE).content.decode()
    assert change(client).status_code == 302
    assert client.get("/admin/").status_code == 200
    assert User.objects.get().check_password(OWN)


def test_that_holds_for_what_others_set_alone(client, owner, by_code):
    passwords.set_password(person=owner, password=OWN, is_own_choice=True)
    by_code()
    assert list(change(client, new="third-s3cret-x").context["form"].errors) == ["old_password"]
    assert User.objects.get().check_password(OWN)


def test_a_code_of_before_says_nothing_of_a_later_sign_in(client, owner, by_code):
    by_code()
    client.post("/admin/logout/")
    by_password(client)
    assert 'name="old_password"' in client.get(PAGE).content.decode()


# --- Who sets it ----------------------------------------------------------------------------------
def test_what_staff_set_in_the_console_has_to_be_changed(owner):
    passwords.set_password(person=owner, password=OWN, is_own_choice=True)
    console = console_of(User.objects.create_superuser("root", None))
    form = {"password1": OF_OTHERS, "password2": OF_OTHERS}
    fill_in(console, f"/admin/accounts/user/{owner.pk}/password/", **form)
    owner.refresh_from_db()
    assert owner.check_password(OF_OTHERS)
    assert owner.must_change_password


def test_so_has_that_of_somebody_who_is_added(client):
    console = console_of(User.objects.create_superuser("root", None))
    form = {"username": "li", "password1": OF_OTHERS, "password2": OF_OTHERS}
    fill_in(console, "/admin/accounts/user/add/", **form)
    assert User.objects.get(username="li").must_change_password


def test_the_page_of_a_person_says_so_and_changes_nothing_of_it(owner):
    console = console_of(User.objects.create_superuser("root", None))
    address = f"/admin/accounts/user/{owner.pk}/change/"
    fill_in(console, address, nickname="Wang", must_change_password="")
    owner.refresh_from_db()
    assert (owner.nickname, owner.must_change_password) == ("Wang", True)


# --- Maintenance ----------------------------------------------------------------------------------
def test_in_maintenance_platform_staff_change_theirs_all_the_same(client):
    cast = make_cast()
    passwords.set_password(person=cast.staff, password=OF_OTHERS)
    maintenance.turn_on()
    client.post("/admin/login/", {"username": "staff", "password": OF_OTHERS})
    assert client.get(PAGE).status_code == 200
    change(client, old_password=OF_OTHERS)
    assert client.get("/admin/").status_code == 200
