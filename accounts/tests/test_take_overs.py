"""Ways into the account of somebody else: by SMS, by WeChat, by both. Each of them fails.

After each the victim's account is what it was, and nobody but the victim is signed in to it.
"""

from datetime import timedelta

import pytest
from django.db.models import F
from django.utils import timezone

from accounts.errors import MergeOfRights
from accounts.models import AccountMerge, DeviceSession, SignInCode, User
from accounts.services import merging
from accounts.tests.factories import make_staff, merge_into
from catalog.models import ShopRole
from catalog.tests.factories import make_member, make_shop
from ops.access import access_of
from ops.errors import NotAllowed
from tests.api import client_of, data_of, refusal_of
from tests.people import make_person

PHONE, OTHER_PHONE = "13800138001", "13900139002"
OPENID, OTHER = "oGZUI0egBJY1zhBYw2KhdUfwVJJE", "oGZUI0egBJY1zhBYw2KhATTACKER"
UNIONID = "o6_bmasdasdsad6_2sgVt7hMZOPfL"
HERE, THERE = "198.51.100.7", "203.0.113.66"

pytestmark = pytest.mark.django_db


def post(path, body, address=THERE, **headers):
    return client_of().post(f"/api/auth/{path}", body, REMOTE_ADDR=address, headers=headers)


def by_code(code, phone=PHONE, **body):
    return post("login", {"phone": phone, "code": code, **body})


def by_wechat(code, phone_code=None, **body):
    said = {"code": code} | ({"phone_code": phone_code} if phone_code else {}) | body
    return post("wechat", said)


def a_minute_later():
    SignInCode.objects.update(created_at=F("created_at") - timedelta(seconds=61))


def wrong(code):
    return f"{(int(code) + 1) % 10**6:06d}"


class Victim:
    """Somebody with an account by phone, by WeChat or by both, who is signed in at home."""

    def __init__(self, **identities):
        self.person = make_person(points=500, **identities)
        self.before = self.seen()
        self.sessions = self.live()

    def seen(self):
        fields = ("phone", "wechat_openid", "wechat_unionid", "total_points", "status", "nickname")
        return User.objects.values(*fields).get(pk=self.person.pk)

    def live(self):
        return set(DeviceSession.objects.filter(user=self.person).values_list("pk", flat=True))

    def assert_untouched(self):
        assert self.seen() == self.before
        assert self.live() == self.sessions


@pytest.fixture
def victim():
    """Whoever has both, and everything as it was in the end."""
    one = Victim(phone=PHONE, wechat_openid=OPENID, wechat_unionid=UNIONID)
    yield one
    one.assert_untouched()


@pytest.fixture
def by_phone_alone():
    """Whoever signs in by SMS and has never used WeChat here."""
    one = Victim(phone=PHONE)
    yield one
    one.assert_untouched()


def is_somebody_else(response, victim):
    """Whoever signed in has an account of their own, without the victim's phone and points."""
    told = data_of(response)["user_info"]
    assert told["user_id"] != victim.person.pk
    assert told["mobile"] != "138****8001"
    return True


# --- Codes by SMS -------------------------------------------------------------------------------
def test_a_code_that_was_used_is_not_good_again(ask, victim):
    code = ask(PHONE)
    data_of(by_code(code))
    victim.sessions = victim.live()  # the victim's own
    assert refusal_of(by_code(code)) == (401, 1002, None)


def test_a_code_of_another_phone_is_not_good(ask, victim):
    mine, _theirs = ask(OTHER_PHONE), ask(PHONE)
    SignInCode.objects.filter(phone=PHONE).update(code_hash="of another code")
    assert refusal_of(by_code(mine)) == (401, 1002, None)


def test_a_code_that_a_newer_one_replaced_is_not_good(ask, victim):
    """As somebody reads it who had the SIM before."""
    earlier = ask(PHONE)
    a_minute_later()
    if ask(PHONE) != earlier:  # else one in a million
        assert refusal_of(by_code(earlier)) == (401, 1002, None)


def test_a_code_that_is_too_old_is_not_good(ask, victim):
    code = ask(PHONE)
    SignInCode.objects.update(expires_at=timezone.now())
    assert refusal_of(by_code(code)) == (401, 1002, None)


def test_after_five_guesses_even_the_right_code_is_none(ask, victim):
    code = ask(PHONE)
    for _guess in range(5):
        assert refusal_of(by_code(wrong(code))) == (401, 1002, None)
    assert refusal_of(by_code(code)) == (429, 1004, None)


def test_guesses_from_many_addresses_are_guesses_at_one_code(ask, victim):
    code = ask(PHONE)
    for number in range(5):
        said = {"phone": PHONE, "code": wrong(code)}
        assert refusal_of(post("login", said, f"203.0.113.{number}")) == (401, 1002, None)
    assert refusal_of(by_code(code)) == (429, 1004, None)


@pytest.mark.parametrize(
    "phone",
    ["１３８００１３８００１", f"+86{PHONE}", f" {PHONE}", f"{PHONE}\n", f"0{PHONE}"],
    ids=ascii,
)
def test_a_phone_in_another_writing_is_none(ask, victim, phone):
    assert refusal_of(by_code(ask(PHONE), phone=phone)) == (400, 1001, None)


def test_the_fixed_code_of_development_opens_nothing_from_elsewhere(sent, settings, victim):
    settings.SMS_FIXED_CODE = "123456"
    assert refusal_of(by_code("123456")) == (401, 1002, None)


@pytest.mark.parametrize(
    "code", [["274159"], {"$ne": ""}, "%", "______", 0, True, None, "' OR 1=1"]
)
def test_a_code_that_is_none_matches_none(ask, victim, code):
    ask(PHONE)
    assert refusal_of(by_code(code)) == (401, 1002, None)


# --- WeChat -------------------------------------------------------------------------------------
def test_a_wechat_code_that_was_used_is_not_good_again(at_wechat, victim):
    code = at_wechat.login(OPENID)
    data_of(by_wechat(code))
    victim.sessions = victim.live()
    assert refusal_of(by_wechat(code)) == (401, 1008, None)


def test_an_openid_that_the_app_names_is_not_looked_at(at_wechat, victim):
    response = by_wechat(
        at_wechat.login(OTHER),
        openid=OPENID, unionid=UNIONID, wechat_openid=OPENID, user_id=victim.person.pk,
    )  # fmt: skip
    assert is_somebody_else(response, victim)
    assert refusal_of(by_wechat(OPENID)) == (401, 1008, None)


def test_an_openid_that_differs_in_case_is_another(at_wechat, victim):
    assert is_somebody_else(by_wechat(at_wechat.login(OPENID.lower())), victim)


def test_a_unionid_is_no_openid(at_wechat, victim):
    assert is_somebody_else(by_wechat(at_wechat.login(UNIONID)), victim)
    assert is_somebody_else(by_wechat(at_wechat.login(OTHER, unionid=OPENID)), victim)


# --- Both ---------------------------------------------------------------------------------------
def test_a_stolen_phone_code_is_refused_by_wechat(at_wechat, by_phone_alone):
    stolen = at_wechat.phone(OPENID, PHONE)
    assert refusal_of(by_wechat(at_wechat.login(OTHER), stolen)) == (401, 1008, None)
    assert not User.objects.filter(wechat_openid=OTHER).exists()


def test_a_stolen_phone_code_opens_no_account_that_has_its_wechat(at_wechat, victim):
    """Even at a WeChat that does not look whose it is."""
    at_wechat.checks_openid = False
    stolen = at_wechat.phone(OPENID, PHONE)
    assert is_somebody_else(by_wechat(at_wechat.login(OTHER), stolen), victim)


def test_a_phone_code_that_was_used_is_not_good_again(at_wechat, victim):
    phone_code = at_wechat.phone(OTHER, OTHER_PHONE)
    data_of(by_wechat(at_wechat.login(OTHER), phone_code))
    assert refusal_of(by_wechat(at_wechat.login(OTHER), phone_code)) == (401, 1008, None)


def test_a_code_of_one_kind_is_none_of_the_other(at_wechat, ask, victim):
    login, phone_code = at_wechat.login(OPENID), at_wechat.phone(OPENID, PHONE)
    assert refusal_of(by_wechat(phone_code)) == (401, 1008, None)
    assert refusal_of(by_wechat(at_wechat.login(OTHER), login)) == (401, 1008, None)
    sms = ask(PHONE)
    assert refusal_of(by_wechat(at_wechat.login(OTHER), sms)) == (401, 1008, None)
    assert refusal_of(by_code(phone_code)) == (401, 1002, None)


def test_a_phone_that_the_app_names_is_not_looked_at(at_wechat, by_phone_alone):
    response = by_wechat(at_wechat.login(OTHER), phone=PHONE, mobile=PHONE, phoneNumber=PHONE)
    assert is_somebody_else(response, by_phone_alone)


def test_whoever_has_the_sim_cannot_put_their_wechat_in_the_place_of_the_victims(
    at_wechat, ask, victim
):
    """They read SMS of the phone now; the account's WeChat stays, and the victim gets in by it."""
    phone_code = at_wechat.phone(OTHER, PHONE)  # their own WeChat took the number over
    assert is_somebody_else(by_wechat(at_wechat.login(OTHER), phone_code), victim)
    again = data_of(by_wechat(at_wechat.login(OPENID)))
    assert again["user_info"]["user_id"] == victim.person.pk
    victim.sessions = victim.live()


def test_an_account_of_the_attacker_swallows_no_account_of_the_victim(at_wechat, by_phone_alone):
    """The attacker's account has no phone yet: a proof of the victim's moves nothing into it."""
    at_wechat.checks_openid = False
    data_of(by_wechat(at_wechat.login(OTHER)))
    stolen = at_wechat.phone(OPENID, PHONE)
    assert is_somebody_else(by_wechat(at_wechat.login(OTHER), stolen), by_phone_alone)


def test_a_banned_person_does_not_come_back_by_another_proof(at_wechat, ask):
    banned = Victim(phone=PHONE, status="banned")
    assert refusal_of(by_code(ask(PHONE))) == (403, 1005, None)
    response = by_wechat(at_wechat.login(OPENID), at_wechat.phone(OPENID, PHONE))
    assert refusal_of(response) == (403, 1005, None)
    banned.assert_untouched()
    assert User.objects.count() == 1


# --- Session fixation -----------------------------------------------------------------------------
def tokens_of(answer):
    return {"Authorization": f"Bearer {answer['access_token']}"}


def test_a_session_that_was_there_before_is_not_the_one_that_signs_in(at_wechat, ask):
    """An attacker's token in the app of the victim stays the attacker's."""
    attacker = data_of(by_wechat(at_wechat.login(OTHER)))
    code = ask(PHONE)
    victim = data_of(post("login", {"phone": PHONE, "code": code}, HERE, **tokens_of(attacker)))
    assert victim["access_token"] != attacker["access_token"]
    seen = data_of(client_of().get("/api/auth/verify", headers=tokens_of(attacker)))
    assert seen["user_info"]["user_id"] == attacker["user_info"]["user_id"]
    assert victim["user_info"]["user_id"] != attacker["user_info"]["user_id"]


def test_a_session_that_the_app_names_is_not_looked_at(ask, at_wechat):
    attacker = data_of(by_wechat(at_wechat.login(OTHER)))
    planted = {
        "refresh_token": attacker["refresh_token"], "access_token": attacker["access_token"],
        "sid": 1, "session_id": 1, "jti": "x",
    }  # fmt: skip
    code = ask(PHONE)
    signed_in = data_of(by_code(code, device_info=planted, **planted))
    refreshed = data_of(post("refresh", {"refresh_token": attacker["refresh_token"]}))
    seen = data_of(client_of().get("/api/auth/verify", headers=tokens_of(refreshed)))
    assert seen["user_info"]["user_id"] == attacker["user_info"]["user_id"]
    assert signed_in["user_info"]["user_id"] != attacker["user_info"]["user_id"]
    assert DeviceSession.objects.count() == 2


# --- The merge trick ------------------------------------------------------------------------------
def test_no_sign_in_merges_two_accounts_even_with_proof_of_both(at_wechat, victim):
    """The attacker's WeChat account and the victim's phone stay two: only staff merge."""
    at_wechat.checks_openid = False
    mine = data_of(by_wechat(at_wechat.login(OTHER)))["user_info"]["user_id"]
    stolen = at_wechat.phone(OPENID, PHONE)
    again = data_of(by_wechat(at_wechat.login(OTHER), stolen))["user_info"]
    assert again["user_id"] == mine
    assert not AccountMerge.objects.exists()
    assert not User.objects.filter(merged_into__isnull=False).exists()


def test_the_api_has_no_way_to_merge(victim):
    attacker = make_person()
    asked = {"survivor_id": attacker.pk, "merged_id": victim.person.pk, "reason": "mine"}
    for address in ("user/merge", "user/profile", "merchant/merge"):
        for method in ("post", "patch"):
            getattr(client_of(attacker), method)(f"/api/{address}", asked)
    client_of(attacker).patch("/api/user/profile", {"merged_into": victim.person.pk})
    assert not AccountMerge.objects.exists()
    assert User.objects.get(pk=attacker.pk).merged_into is None


@pytest.mark.parametrize("role", ShopRole)
def test_a_shop_merges_no_customer_into_an_account_of_its_own(victim, role):
    member = make_member(shop=make_shop(), role=role)
    mine = make_person()
    with pytest.raises(NotAllowed):
        merging.merge(
            survivor_id=mine.pk, merged_id=victim.person.pk, reason="mine", author_id=member.pk
        )


def test_nobody_becomes_staff_by_being_merged_with_them(ask):
    """Nor by having staff merged into them: neither phone may open the other's account."""
    staff, attacker = make_staff(), make_person(phone=PHONE)
    other = make_staff("who is deceived")
    for survivor, merged in ((staff, attacker), (attacker, staff)):
        with pytest.raises(MergeOfRights):
            merge_into(survivor, merged, author=other)
    data_of(by_code(ask(PHONE)))
    assert not access_of(User.objects.get(phone=PHONE)).opens_console


def test_whoever_has_the_old_number_of_a_merged_account_gets_into_none(ask):
    """Numbers are given out again: the one that was given up leads nowhere."""
    owner, merged = make_person(phone=PHONE, points=500), make_person(phone=OTHER_PHONE, points=70)
    merge_into(owner, merged)
    told = data_of(by_code(ask(OTHER_PHONE), phone=OTHER_PHONE))["user_info"]
    assert told["user_id"] not in {owner.pk, merged.pk}
    assert told["total_points"] == 0
    assert User.objects.get(pk=owner.pk).total_points == 570


def test_the_wechat_of_a_merged_account_leads_to_the_other_and_brings_no_second_phone(at_wechat):
    owner = make_person(phone=OTHER_PHONE)
    merged = make_person(phone=None, wechat_openid=OPENID)
    merge_into(owner, merged)
    answer = data_of(by_wechat(at_wechat.login(OPENID), at_wechat.phone(OPENID, PHONE)))
    assert answer["user_info"]["user_id"] == owner.pk
    assert User.objects.get(pk=owner.pk).phone == OTHER_PHONE
    assert not User.objects.filter(phone=PHONE).exists()
