"""What is no password: the phone, the names of the shop, and what everybody tries first."""

import pytest
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError

from accounts.models import User
from catalog.models import Shop, ShopRole
from catalog.services.members import join
from tests.people import make_person

pytestmark = pytest.mark.django_db

PHONE = "13812345678"


@pytest.fixture
def owner():
    person = make_person(phone=PHONE, username="laowang", nickname="Wang Xiaoming")
    shop = Shop.objects.create(name="老王 Sichuan")
    join(shop_id=shop.pk, person=person, role=ShopRole.OWNER)
    return person


def why_not(password, person=None):
    """The codes of what is wrong with a password; none for a good one."""
    try:
        validate_password(password, user=person)
    except ValidationError as refusal:
        return {error.code for error in refusal.error_list}
    return set()


@pytest.mark.parametrize(
    "password",
    [
        "12345678",
        "1234567890",
        "a123456",
        "a123456789",
        "Abc123456789",
        "qwerty123456",
        "1qaz2wsx3edc",
        "zxcvbnm12345",
        "987654321abc",
        "111111aaaaaa",
        "121212121212",
        "woaini1314520",
        "wodemima2026",
        "admin888888",
        "laoban123456",
        "huoguo666666",
        "canting-2026",
        "zhang19900101",
        "li1990-01-01",
        "我爱你我爱你5201314",
        "管理员123456",
        "password!!!",
    ],
)
def test_what_everybody_tries_first_is_no_password(password):
    assert why_not(password)


@pytest.mark.parametrize(
    "password", ["s3cret-s3cret", "Mapo-doufu 52 x", "xk9-123-Qv7p", "锅里的花椒真是麻九十"]
)
def test_what_is_hard_to_guess_is_one(password, owner):
    assert why_not(password, owner) == set()


def test_ten_characters_are_the_least():
    assert why_not("Qx7-mv2-k") == {"password_too_short"}
    assert why_not("Qx7-mv2-kw") == set()


@pytest.mark.parametrize("password", ["wang13812345678", "Tel:345678/xqv", f"{PHONE}Mapo-doufu"])
def test_nobodys_phone_is_their_password(owner, password):
    assert "password_has_phone" in why_not(password, owner)
    assert "password_has_phone" not in why_not(password)


@pytest.mark.parametrize("password", ["老王sichuan-mapo", "x老王 SICHUAN!52k"])
def test_nobodys_shop_is_their_password(owner, password):
    assert why_not(password, owner) == {"password_has_shop"}
    assert why_not(password, make_person()) == set(), "of somebody who works elsewhere"
    assert why_not(password, User(phone=PHONE)) == set(), "of somebody who is not there yet"


def test_a_shop_of_one_letter_is_no_rule(owner):
    Shop.objects.update(name="x")
    assert why_not("xk9-123-Qv7p", owner) == set()


@pytest.mark.parametrize("password", ["laowang-52", "WangXiaoming52", "gnawoal-52x"])
def test_nobodys_name_is_their_password(owner, password):
    assert "password_too_similar" in why_not(password, owner)
