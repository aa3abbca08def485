"""Entering the console with a second factor, and every way to enter without."""

from datetime import timedelta

import pytest
from django.contrib.sessions.models import Session
from django.test import Client

from accounts.console_session import (
    FACTOR_KEY,
    FIRST_FACTOR_KEY,
    FRESH_FOR,
    SECOND_STEP_WITHIN,
)
from accounts.models import CodePurpose, ConsoleDevice, User, UserStatus
from accounts.services import console_devices, passwords, second_factors
from accounts.services.sign_in_codes import ask_code
from accounts.tests.factories import enrol
from catalog.models import ShopRole
from catalog.tests.factories import make_member, make_shop
from config import settings as ours
from config.console_sign_in import BY_CODE
from ops.services import maintenance
from tests.clock import hold_clock
from tests.people import make_person

pytestmark = pytest.mark.django_db

PASSWORD = "s3cret-s3cret"
INDEX, LOGIN, STEP = "/admin/", "/admin/login/", "/admin/second-step/"
SET_UP, OFFER = "/admin/second-factor/set-up/", "/admin/second-factor/offer/"
PEOPLE = "/admin/accounts/user/"


@pytest.fixture(autouse=True)
def fast_passwords(settings):
    settings.PASSWORD_HASHERS = ["accounts.tests.factories.CountingHasher"]


@pytest.fixture(autouse=True)
def english(settings):
    settings.LANGUAGE_CODE = "en"


@pytest.fixture(autouse=True)
def clock(monkeypatch):
    return hold_clock(monkeypatch)


@pytest.fixture
def asked(settings):
    """As outside of development."""
    settings.SECOND_FACTOR_ASKED = True


@pytest.fixture
def root():
    return User.objects.create_superuser("wang", PASSWORD)


@pytest.fixture
def mine(root):
    return enrol(root)


def first(client, account="wang", password=PASSWORD, following=""):
    """The first step; returns where it leads."""
    address = f"{LOGIN}?next={following}" if following else LOGIN
    answer = client.post(address, {"username": account, "password": password})
    assert answer.status_code == 302, answer.context["form"].errors
    return answer["Location"]


def second(client, code):
    return client.post(STEP, {"code": code})


def is_in(client):
    """Whether pages open; else every one of them leads to the sign-in."""
    answers = [client.get(page) for page in (INDEX, PEOPLE)]
    if all(answer.status_code == 200 for answer in answers):
        return True
    assert [answer["Location"].partition("?")[0] for answer in answers] == [LOGIN, LOGIN]
    return False


def refusals(answer):
    assert answer.status_code == 200
    return list(answer.context["form"].non_field_errors())


# --- Both steps -----------------------------------------------------------------------------------
def test_the_first_step_opens_no_page_and_signs_nobody_in(client, mine):
    assert first(client) == STEP
    assert "_auth_user_id" not in client.session
    assert not is_in(client)
    assert not ConsoleDevice.objects.exists(), "the browser is not a known one by it"
    for page in ("/admin/second-factor/", SET_UP, "/admin/fresh-factor/", "/admin/search/?s=a"):
        assert client.get(page)["Location"].startswith(LOGIN)
        assert client.post(page, {"code": mine.phone.code()})["Location"].startswith(LOGIN)
    assert client.get(STEP).status_code == 200


def test_the_second_step_signs_in_and_leads_where_somebody_wanted_to_go(client, root, mine):
    first(client, following=PEOPLE)
    answer = second(client, mine.phone.code())
    assert (answer.status_code, answer["Location"]) == (302, PEOPLE)
    assert client.session["_auth_user_id"] == str(root.pk)
    assert FIRST_FACTOR_KEY not in client.session
    assert is_in(client)
    root.refresh_from_db()
    assert root.last_login is not None


def test_a_first_step_of_somebody_else_does_not_outlive_a_sign_in(client, mine):
    """Left in the browser by whoever used it before, or planted there with their session's key."""
    User.objects.create_superuser("li", PASSWORD)
    assert first(client) == STEP
    session = client.session
    session["anything"] = "else"
    session.save()
    planted = session.session_key
    first(client, account="li")
    assert client.session.session_key != planted
    assert not Session.objects.filter(session_key=planted).exists()
    assert FIRST_FACTOR_KEY not in client.session
    assert "anything" not in client.session
    assert client.get(STEP)["Location"] == LOGIN
    assert is_in(client)


def test_a_foreign_address_is_not_led_to(client, mine):
    first(client, following="https://evil.example/")
    assert second(client, mine.phone.code())["Location"] == INDEX


def test_a_recovery_code_stands_in_for_the_phone_and_says_how_many_are_left(client, mine):
    first(client)
    assert b"recovery codes that you kept" in client.get(f"{STEP}?recovery").content
    answer = client.post(f"{STEP}?recovery", {"code": mine.codes[0].lower()}, follow=True)
    assert [str(told) for told in answer.context["messages"]] == [
        "A recovery code was used: 9 are left."
    ]
    for code in mine.codes[1:7]:
        client.post("/admin/logout/")
        first(client)
        answer = client.post(STEP, {"code": code}, follow=True)
    (told,) = map(str, answer.context["messages"])
    assert told == "A recovery code was used: 3 are left. Make new ones under Second factor."
    client.post("/admin/logout/")
    first(client)
    assert refusals(second(client, mine.codes[0])) == [
        "This code is wrong, too old, or was used before."
    ]
    assert not is_in(client)


def test_a_wrong_code_lets_nobody_in_and_is_counted(client, mine):
    first(client)
    for _number in range(5):
        assert refusals(second(client, mine.phone.other())) == [
            "This code is wrong, too old, or was used before."
        ]
    refused = ["Too many wrong codes. Please wait 5 seconds."]
    assert refusals(second(client, mine.phone.code())) == refused
    other = Client()
    first(other)
    assert refusals(second(other, mine.phone.code())) == refused, "in every browser"
    assert not is_in(client)


def test_strangers_hold_nobody_up(client, mine):
    """Whoever did not pass the first step cannot try codes at all."""
    stranger = Client()
    for _number in range(20):
        assert stranger.post(STEP, {"code": "000000"})["Location"] == LOGIN
    first(client)
    assert second(client, mine.phone.code()).status_code == 302


def test_who_has_none_is_not_asked(client, root):
    assert first(client) == INDEX
    assert is_in(client)


def test_a_known_device_does_not_skip_it(client, mine, clock):
    first(client)
    second(client, mine.phone.code())
    client.post("/admin/logout/")
    clock.go(second_factors.STEP * 2)
    assert first(client) == STEP
    assert not is_in(client)


def test_ending_a_device_ends_its_sessions_and_the_next_sign_in_takes_both_steps(client, mine):
    first(client)
    second(client, mine.phone.code())
    console_devices.end(ConsoleDevice.objects.get())
    assert not is_in(client)
    assert first(client) == STEP


# --- What was begun and not finished --------------------------------------------------------------
def test_the_second_step_follows_within_five_minutes(client, mine, clock):
    first(client)
    Session.objects.update(expire_date=clock.now + timedelta(days=1))  # which alone would end it
    clock.go(SECOND_STEP_WITHIN)
    assert client.get(STEP).status_code == 200
    Session.objects.update(expire_date=clock.now + timedelta(days=1))
    clock.go(timedelta(seconds=1))
    answer = client.post(STEP, {"code": mine.phone.code()}, follow=True)
    assert answer.redirect_chain == [(LOGIN, 302)]
    (told,) = map(str, answer.context["messages"])
    assert told == "The second step took too long. Please sign in again."
    assert not is_in(client)


def test_its_session_does_not_outlive_it(client, mine, clock):
    first(client)
    (session,) = Session.objects.all()
    assert session.expire_date == clock.now + SECOND_STEP_WITHIN


def test_without_a_first_step_there_is_no_second(client, mine):
    assert client.get(STEP)["Location"] == LOGIN
    assert second(client, mine.phone.code())["Location"] == LOGIN
    assert not is_in(client)


def test_the_code_of_somebody_else_finishes_nobodys_first_step(client, mine):
    """Not that of whoever uses the browser after them either."""
    li = User.objects.create_superuser("li", PASSWORD)
    theirs = enrol(li)
    first(client)
    assert refusals(second(client, theirs.phone.code()))
    assert first(client, account="li") == STEP
    assert refusals(second(client, mine.phone.code()))
    assert second(client, theirs.phone.code()).status_code == 302
    assert client.session["_auth_user_id"] == str(li.pk)


@pytest.mark.parametrize("change", ["banned", "no rights", "new password"])
def test_what_changed_between_the_steps_counts(client, root, mine, change):
    first(client)
    if change == "banned":
        User.objects.filter(pk=root.pk).update(status=UserStatus.BANNED)
    elif change == "no rights":
        User.objects.filter(pk=root.pk).update(is_superuser=False)
    else:
        passwords.set_password(person=root, password="another-s3cret")
    assert second(client, mine.phone.code())["Location"] == LOGIN
    assert not is_in(client)


def test_a_finished_second_step_is_worth_nothing_again(client, mine, clock):
    first(client)
    kept = client.cookies["sessionid"].value
    second(client, mine.phone.code())
    assert client.cookies["sessionid"].value != kept
    replay = Client()
    replay.cookies["sessionid"] = kept
    clock.go(second_factors.STEP * 2)
    assert second(replay, mine.phone.code())["Location"] == LOGIN
    assert second(client, mine.phone.code())["Location"] == LOGIN, "nor in the same browser"
    assert is_in(client)
    assert not is_in(replay)


def test_a_session_that_somebody_else_knows_is_not_the_one_that_is_signed_in(client, mine):
    """Session fixation: each step has a key of its own."""
    client.get(LOGIN)
    attacker = Client()
    attacker.post(LOGIN, {"username": "nobody", "password": "x"})
    keys = set()
    for step in (lambda: first(client), lambda: second(client, mine.phone.code())):
        planted = client.cookies["sessionid"].value if "sessionid" in client.cookies else "p" * 32
        client.cookies["sessionid"] = planted
        step()
        keys |= {planted, client.cookies["sessionid"].value}
        attacker.cookies["sessionid"] = planted
        assert not is_in(attacker)
    assert len(keys) == 3
    assert is_in(client)


def test_the_first_step_ends_the_session_of_whoever_was_signed_in_before(client, mine):
    li = User.objects.create_superuser("li", PASSWORD)
    client.force_login(li)
    client.session["of li"] = "x"
    first(client)
    assert not is_in(client)
    assert set(client.session.keys()) <= {FIRST_FACTOR_KEY, BY_CODE, "_session_expiry"}


# --- Other doors ----------------------------------------------------------------------------------
def test_whatever_signs_somebody_in_a_session_without_the_factor_opens_nothing(client, root, mine):
    """Any other view that calls `login`, now or some day."""
    client.force_login(root)
    assert not is_in(client)
    assert "_auth_user_id" not in client.session


def test_sessions_of_before_the_enrolment_end_with_it(client, root):
    client.force_login(root)
    assert is_in(client)
    mine = enrol(root)
    assert not is_in(client)
    first(client)
    assert second(client, mine.phone.code()).status_code == 302


def test_a_session_of_the_factor_of_before_ends(client, root, mine):
    first(client)
    second(client, mine.phone.code())
    assert client.session[FACTOR_KEY] == mine.factor.pk
    enrol(root)
    assert not is_in(client)


def test_after_a_reset_all_sessions_end(client, root, mine):
    first(client)
    second(client, mine.phone.code())
    second_factors.reset(person_id=root.pk, reason="Lost phone")
    assert not is_in(client)


# --- Who has to have one --------------------------------------------------------------------------
def test_staff_set_one_up_before_any_page_opens(client, root, asked, clock):
    assert first(client, following=PEOPLE) == PEOPLE
    for page in (PEOPLE, INDEX, "/admin/password_change/", "/admin/second-factor/", OFFER):
        assert client.get(page)["Location"] == SET_UP
        assert client.post(page)["Location"] == SET_UP
    page = client.get(SET_UP)
    assert page.status_code == 200
    secret = "".join(page.context["groups"])
    answer = client.post(SET_UP, {"code": second_factors.code_at(secret, clock.now)})
    assert len(answer.context["codes"]) == 10
    assert answer.context["following"] == PEOPLE
    assert client.get(PEOPLE).status_code == 200


def test_sessions_of_before_are_asked_at_their_next_page(client, root, settings):
    client.force_login(root)
    assert is_in(client)
    settings.SECOND_FACTOR_ASKED = True
    assert client.get(PEOPLE)["Location"] == SET_UP


def test_the_way_out_is_open(client, root, asked):
    first(client)
    assert client.post("/admin/logout/").status_code == 200
    assert client.get(PEOPLE)["Location"].startswith(LOGIN)


def test_in_development_nobody_is_asked_to_have_one(client, root):
    assert first(client) == INDEX
    assert is_in(client)


def test_nothing_but_the_mode_decides_whether_it_is_asked():
    assert ours.SECOND_FACTOR_ASKED is (not ours.DEBUG)


# --- Owners ---------------------------------------------------------------------------------------
@pytest.fixture
def owner():
    person = make_member(shop=make_shop(), role=ShopRole.OWNER, person=make_person(username="li"))
    passwords.set_password(person=person, password=PASSWORD, is_own_choice=True)
    return person


def test_an_owner_is_offered_one_and_may_put_it_off(client, owner, asked, clock):
    shop = "/admin/catalog/shop/"
    offer = first(client, account="li", following=shop)
    assert offer == f"{OFFER}?next=%2Fadmin%2Fcatalog%2Fshop%2F"
    assert client.get(offer).status_code == 200
    assert client.get(shop).status_code == 200, "it is no wall"
    answer = client.post(offer)
    assert answer["Location"] == shop
    client.post("/admin/logout/")
    assert first(client, account="li") == INDEX
    client.cookies.pop("second_factor_later")
    assert first(client, account="li").startswith(OFFER)


def test_what_one_owner_put_off_is_no_other_owners(client, owner, asked):
    client.post(first(client, account="li"))
    client.post("/admin/logout/")
    other = make_member(shop=make_shop(), role=ShopRole.OWNER, person=make_person(username="wu"))
    passwords.set_password(person=other, password=PASSWORD, is_own_choice=True)
    assert first(client, account="wu").startswith(OFFER)


def test_an_offer_leads_to_no_foreign_address(client, owner, asked):
    first(client, account="li")
    answer = client.post(f"{OFFER}?next=https://evil.example/")
    assert answer["Location"] == INDEX


@pytest.mark.parametrize("role", [ShopRole.MANAGER, ShopRole.CASHIER])
def test_other_members_are_not_bothered_and_may_have_one(client, role, asked):
    person = make_member(shop=make_shop(), role=role, person=make_person(username="li"))
    passwords.set_password(person=person, password=PASSWORD, is_own_choice=True)
    assert first(client, account="li") == INDEX
    assert client.get(SET_UP).status_code == 200


def test_in_development_no_owner_is_offered_one(client, owner):
    assert first(client, account="li") == INDEX


def test_in_maintenance_staff_enter_by_both_steps_and_end_it(client, root, mine, clock):
    maintenance.turn_on()
    assert first(client) == STEP
    second(client, mine.phone.code())
    for page in ("/admin/second-factor/", SET_UP, "/admin/fresh-factor/"):
        assert client.get(page).status_code in {200, 302}
    clock.go(FRESH_FOR + timedelta(seconds=1))
    answer = {"off": "yes", "fresh_secret": mine.phone.code()}
    client.post("/admin/ops/processbeat/maintenance/", answer)
    assert not maintenance.is_on()


def test_a_foreign_page_sends_no_code(mine):
    client = Client(enforce_csrf_checks=True)
    token = client.get(LOGIN).cookies["csrftoken"].value
    form = {"username": "wang", "password": PASSWORD, "csrfmiddlewaretoken": token}
    assert client.post(LOGIN, form)["Location"] == STEP
    assert second(client, mine.phone.code()).status_code == 403
    assert not is_in(client)


# --- Other first steps ----------------------------------------------------------------------------
def test_a_code_by_sms_is_a_first_step_as_well(client, root, mine):
    User.objects.filter(pk=root.pk).update(phone="13800138000")
    form = {"phone": "13800138000", "code": "123456"}
    ask_code(phone="13800138000", address="127.0.0.1", purpose=CodePurpose.CONSOLE)
    answer = client.post(f"{LOGIN}?way=code", form)
    assert answer["Location"] == STEP
    assert not is_in(client)
    assert second(client, mine.phone.code())["Location"] == INDEX
    assert client.session[BY_CODE] is True, "which says that no old password is asked for"
    assert is_in(client)


def test_a_password_that_somebody_else_set_is_changed_before_a_factor_is_set_up(
    client, root, asked
):
    passwords.set_password(person=root, password=PASSWORD)
    first(client)
    assert client.get(INDEX)["Location"] == "/admin/password_change/"
    assert client.get(SET_UP)["Location"] == "/admin/password_change/"
    User.objects.update(must_change_password=False)
    assert client.get(INDEX)["Location"] == SET_UP


def test_whoever_owes_a_step_for_long_is_asked_who_they_are_and_goes_on(client, root, asked, clock):
    """No two of these pages send somebody to and fro."""
    first(client)
    clock.go(FRESH_FOR + timedelta(seconds=1))
    answer = client.get(INDEX, follow=True)
    question = "/admin/fresh-factor/?next=%2Fadmin%2Fsecond-factor%2Fset-up%2F"
    assert [address for address, _status in answer.redirect_chain] == [SET_UP, question]
    answer = client.post(question, {"fresh_secret": PASSWORD}, follow=True)
    assert answer.redirect_chain == [(SET_UP, 302)]
    assert answer.status_code == 200
