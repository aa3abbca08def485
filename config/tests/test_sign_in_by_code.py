"""The console by phone and SMS code: who enters, what is told to whom, and what stays as it was."""

import re
from datetime import timedelta

import pytest
from django.db import connection
from django.db.models import F
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts import sms
from accounts.models import CodePurpose, ConsoleDevice, SignInCode, User, UserStatus
from accounts.services import sign_in_codes
from accounts.tests.factories import RecordingSender
from catalog.models import Shop, ShopRole
from catalog.services.members import join
from ops.services import maintenance
from ops.services.encryption import keyed_hash
from tests.api import client_of, data_of
from tests.console import refused_unchanged
from tests.people import make_cast, make_person
from tests.refusals import refused

pytestmark = pytest.mark.django_db

LOGIN = "/admin/login/?way=code"
PHONE, NOBODYS = "13900139001", "13900139002"
HERE = "198.51.100.7"
TOKEN = r'name="csrfmiddlewaretoken" value="[^"]+"'
NO_RIGHTS = "This account has no rights in the console."


class Away:
    """A provider that takes nothing."""

    def send_code(self, *, phone, code):
        raise sms.NotTaken("away")


@pytest.fixture(autouse=True)
def sent(settings):
    settings.SMS_SENDER = "accounts.tests.factories.RecordingSender"
    settings.SMS_FIXED_CODE = ""
    RecordingSender.sent.clear()
    return RecordingSender.sent


@pytest.fixture
def owner():
    """The owner of a shop, who has no password and never had one."""
    person = make_person(phone=PHONE)
    shop = Shop.objects.create(name="Teahouse")
    join(shop_id=shop.pk, person=person, role=ShopRole.OWNER)
    return person


@pytest.fixture
def post(client, django_capture_on_commit_callbacks):
    """Send the form as a browser does; what is sent by SMS is sent as soon as it is committed."""

    def sending(address=LOGIN, **fields):
        with django_capture_on_commit_callbacks(execute=True):
            return client.post(address, fields, REMOTE_ADDR=HERE, headers={"Accept-Language": "en"})

    return sending


@pytest.fixture
def ask(post, sent):
    """Have a code sent; returns it."""

    def asking(phone=PHONE):
        answer = post(phone=phone, ask="1")
        assert answer.status_code == 200
        assert answer.context["form"].errors == {}
        assert sent[-1][0] == phone
        return sent[-1][1]

    return asking


def told(answer, field="__all__"):
    """What the form says, when it let nobody in."""
    assert answer.status_code == 200
    assert "_auth_user_id" not in answer.client.session
    errors = answer.context["form"].errors
    assert list(errors) == [field]
    return " ".join(errors[field])


def wrong(code):
    return f"{(int(code) + 1) % 10**6:06d}"


def is_in(client):
    return client.get("/admin/").status_code == 200


# --- The way in -----------------------------------------------------------------------------------
def test_a_code_may_be_typed_in_full_width_and_with_blanks(owner, post, ask, client):
    code = ask().translate(str.maketrans("0123456789", "０１２３４５６７８９"))
    post(phone=PHONE, code=f" {code[:3]}\u3000{code[3:]}")
    assert is_in(client)


def test_a_member_without_a_password_enters_by_phone_and_code(client, owner, post, ask):
    assert owner.password == ""
    answer = post(phone=PHONE, code=ask())
    assert (answer.status_code, answer["Location"]) == (302, "/admin/")
    assert is_in(client)
    assert ConsoleDevice.objects.get().person == owner


def test_the_two_forms_are_two_leaves_of_one_page(client):
    by_password = client.get("/admin/login/?next=/admin/accounts/tier/").content.decode()
    by_code = client.get(LOGIN).content.decode()
    assert 'name="password"' in by_password
    assert 'href="/admin/login/?next=%2Fadmin%2Faccounts%2Ftier%2F&amp;way=code"' in by_password
    assert 'name="phone"' in by_code
    assert 'name="code"' not in by_code, "before one was sent"
    assert 'name="password"' not in by_code


def test_after_it_was_sent_the_page_asks_for_the_code(post, owner):
    page = post(phone=PHONE, ask="1").content.decode()
    assert 'name="code"' in page
    assert f'value="{PHONE}"' in page
    assert "5 minutes" in page


def test_strangers_come_where_they_wanted(client, owner, post, ask):
    wanted = client.get("/admin/catalog/product/")["Location"]
    code = ask()
    assert post(f"{wanted}&way=code", phone=PHONE, code=code)["Location"] == (
        "/admin/catalog/product/"
    )


@pytest.mark.parametrize("elsewhere", ["https://evil.example/", "//evil.example/admin/"])
def test_nobody_is_led_away(owner, post, ask, elsewhere):
    assert post(f"{LOGIN}&next={elsewhere}", phone=PHONE, code=ask())["Location"] == "/admin/"


@pytest.mark.parametrize("typed", ["139 0013 9001", "139-0013-9001", " 13900139001 "])
def test_a_phone_may_be_typed_with_blanks(client, owner, post, ask, typed):
    ask()
    SignInCode.objects.update(created_at=F("created_at") - timedelta(minutes=2))
    post(phone=typed, ask="1")
    post(phone=typed, code=RecordingSender.sent[-1][1])
    assert is_in(client)


def test_the_session_gets_a_new_key(client, owner, post, ask):
    """Else whoever planted a session in somebody's browser would be signed in with them."""
    session = client.session
    session["planted"] = "yes"
    session.save()
    client.cookies["sessionid"] = session.session_key
    post(phone=PHONE, code=ask())
    assert is_in(client)
    assert client.session.session_key != session.session_key
    stranger = type(client)()
    stranger.cookies["sessionid"] = session.session_key
    assert not is_in(stranger)


# --- What is told to nobody -----------------------------------------------------------------------
def test_asking_tells_nothing_of_an_account_and_costs_the_same(owner, post, sent):
    """Somebody who may enter, nobody, a closed account, and a customer."""
    make_person(phone="13900139003", status=UserStatus.BANNED)
    make_person(phone="13900139004")
    phones = [PHONE, NOBODYS, "13900139003", "13900139004"]
    post(phone="13900139009", ask="1")  # by now there is a row for what neighbours share
    pages, costs = set(), set()
    for phone in phones:
        with CaptureQueriesContext(connection) as queries:
            page = post(phone=phone, ask="1").content.decode()
        costs.add(len(queries))
        pages.add(re.sub(TOKEN, "", page.replace(phone, "PHONE")))
        assert sent[-1][0] == phone
    assert len(pages) == len(costs) == 1


def test_a_wrong_code_tells_nothing_of_an_account_either(owner, post, ask):
    make_person(phone="13900139003", status=UserStatus.BANNED)
    pages, costs = set(), set()
    told(post(phone=PHONE, code="000000"))  # by now there is a row for the address
    for phone in (PHONE, NOBODYS, "13900139003"):
        code = ask(phone)
        with CaptureQueriesContext(connection) as queries:
            answer = post(phone=phone, code=wrong(code))
        told(answer)
        costs.add(len(queries))
        page = answer.content.decode().replace(phone, "PHONE").replace(wrong(code), "CODE")
        pages.add(re.sub(TOKEN, "", page))
    assert len(pages) == len(costs) == 1


def test_whoever_has_no_rights_is_told_so_after_the_right_code_alone(post, ask):
    customer = make_person(phone=PHONE)
    code = ask()
    assert told(post(phone=PHONE, code=wrong(code))) == "The code is wrong or has expired."
    assert told(post(phone=PHONE, code=code)) == NO_RIGHTS
    assert told(post(phone=PHONE, code=code)) == "The code is wrong or has expired."
    customer.refresh_from_db()
    assert customer.last_login is None


def test_nobody_gets_an_account(post, ask):
    code = ask(NOBODYS)
    people = User.objects.count()
    assert told(post(phone=NOBODYS, code=code)) == NO_RIGHTS
    assert User.objects.count() == people == 0


@pytest.mark.parametrize("status", [UserStatus.INACTIVE, UserStatus.BANNED])
def test_a_closed_account_is_told_so_after_the_right_code_alone(owner, post, ask, status):
    User.objects.update(status=status)
    code = ask()
    assert told(post(phone=PHONE, code=wrong(code))) == "The code is wrong or has expired."
    assert "inactive or banned" in told(post(phone=PHONE, code=code))


# --- A code is good once, here, and for whoever it was sent to ------------------------------------
def test_a_code_of_the_app_is_none_of_the_console(client, owner, post, ask):
    with_app = client_of()
    code = _code_of_the_app(with_app)
    assert told(post(phone=PHONE, code=code)) == "The code is wrong or has expired."
    body = {"phone": PHONE, "code": code}
    data_of(with_app.post("/api/auth/login", body, REMOTE_ADDR=HERE))
    assert not is_in(client)


def test_a_code_of_the_console_is_none_of_the_app(client, owner, post, ask):
    code = ask()
    body = {"phone": PHONE, "code": code}
    assert refused(client_of().post("/api/auth/login", body, REMOTE_ADDR=HERE), 1002) is None
    post(phone=PHONE, code=code)
    assert is_in(client)


def _code_of_the_app(api):
    sign_in_codes.ask_code(phone=PHONE, address=HERE)
    row = SignInCode.objects.get()
    assert row.purpose == CodePurpose.APP
    code = "123123"
    SignInCode.objects.update(code_hash=keyed_hash("sign-in code", f"{PHONE}:{code}"))
    return code


def test_a_code_is_good_once(client, owner, post, ask):
    code = ask()
    post(phone=PHONE, code=code)
    client.post("/admin/logout/")
    assert told(post(phone=PHONE, code=code)) == "The code is wrong or has expired."
    assert not is_in(client)


def test_a_code_is_good_for_its_own_phone_alone(owner, post, ask):
    mine = ask(NOBODYS)
    while (theirs := ask()) == mine:  # one in a million
        SignInCode.objects.update(created_at=F("created_at") - timedelta(minutes=2))
    assert theirs != mine
    assert told(post(phone=PHONE, code=mine)) == "The code is wrong or has expired."


def test_after_five_wrong_tries_even_the_right_code_is_none(client, owner, post, ask):
    code = ask()
    for _try in range(5):
        assert told(post(phone=PHONE, code=wrong(code))) == "The code is wrong or has expired."
    assert "this code is void" in told(post(phone=PHONE, code=code))
    assert not is_in(client)


def test_an_old_code_is_none(owner, post, ask):
    code = ask()
    SignInCode.objects.update(expires_at=timezone.now())
    assert told(post(phone=PHONE, code=code)) == "The code is wrong or has expired."


# --- The limits -----------------------------------------------------------------------------------
def test_the_limits_of_a_phone_are_those_of_the_app_as_well(post, ask, sent):
    """Else there would be twice as many guesses."""
    ask()
    sent.clear()
    answer = post(phone=PHONE, ask="1")
    assert told(answer).startswith("A code was asked for too often. Please wait ")
    assert 'name="code"' in answer.content.decode(), "the one before is good still"
    assert (
        refused(client_of().post("/api/auth/code", {"phone": PHONE}, REMOTE_ADDR=HERE), 1003)
        is None
    )
    assert sent == []


def test_the_codes_of_a_day_are_counted_together(post, ask, settings):
    settings.SMS_CODES_A_DAY = 2
    settings.SMS_RESEND_AFTER = timedelta()
    ask()
    data_of(client_of().post("/api/auth/code", {"phone": PHONE}, REMOTE_ADDR=HERE))
    assert "too often" in told(post(phone=PHONE, ask="1"))


def test_an_address_with_too_many_wrong_codes_is_not_listened_to(
    client, owner, post, ask, settings
):
    settings.SMS_WRONG_CODES_AN_HOUR_PER_ADDRESS = 2
    code = ask()
    for _try in range(2):
        told(post(phone=PHONE, code=wrong(code)))
    told(post(phone=PHONE, code=code))
    assert not is_in(client)


@pytest.mark.parametrize("phone", ["110", "+8613900139001", "a", "13900139001;", "\0"])
def test_what_is_no_phone_is_told_at_its_field_and_gets_nothing(post, sent, phone):
    told(post(phone=phone, ask="1"), field="phone")
    told(post(phone=phone, code="123456"), field="phone")
    assert sent == []
    assert not SignInCode.objects.exists()


def test_half_a_form_tries_nothing(owner, post, ask):
    ask()
    told(post(phone=PHONE, code=""), field="code")
    assert SignInCode.objects.get().wrong_tries == 0


@pytest.mark.django_db(transaction=True)
def test_without_a_provider_the_page_says_so_and_asks_for_no_code(client, settings):
    settings.SMS_SENDER = "config.tests.test_sign_in_by_code.Away"
    answer = client.post(LOGIN, {"phone": PHONE, "ask": "1"}, headers={"Accept-Language": "en"})
    assert told(answer).startswith("The service is not available for a moment.")
    assert 'name="code"' not in answer.content.decode()
    assert not SignInCode.objects.exists()


# --- Maintenance ----------------------------------------------------------------------------------
def test_in_maintenance_platform_staff_alone_enter(client, owner, post, ask):
    cast = make_cast()
    codes = {phone: ask(phone) for phone in (PHONE, str(cast.staff.phone))}
    maintenance.turn_on(message="Back at two.")
    assert "Back at two." in told(post(phone=PHONE, code=codes[PHONE]))
    assert not is_in(client)
    post(phone=str(cast.staff.phone), code=codes[str(cast.staff.phone)])
    assert is_in(client)


# --- What is noted --------------------------------------------------------------------------------
def test_what_is_refused_is_noted_without_phone_and_code(owner, post, ask, caplog):
    code = ask()
    post(phone=PHONE, code=wrong(code))
    assert f'"event": "console_sign_in_failed", "address": "{HERE}"' in caplog.text
    assert f'"person_id": {owner.pk}, "refusal": 1002' in caplog.text
    post(phone=NOBODYS, code=ask(NOBODYS))
    assert '"reason": "no account"' in caplog.text
    for secret in (PHONE, NOBODYS, code):
        assert secret not in caplog.text


def test_a_refusal_changes_nothing_but_what_is_counted(owner, post, ask):
    code = ask()
    post(phone=PHONE, code=wrong(code))
    with refused_unchanged():
        post(phone="110", code=code)
        post(phone=PHONE, code="")
