import pytest
from django.db import IntegrityError, transaction

from accounts.services import profile
from catalog.errors import NotAMerchant
from catalog.models import ShopMember, ShopRole
from catalog.services import shops
from catalog.tests.factories import make_member, make_shop
from ops.errors import NotAllowed, ValidationFailed
from tests.people import make_person

pytestmark = pytest.mark.django_db


def test_a_merchant_is_a_member_of_a_shop():
    person = make_person()
    assert profile.facts["is_merchant"](person) is False

    make_member(shop=make_shop(), person=person)

    assert profile.facts["is_merchant"](person) is True


def test_a_person_has_one_role_at_a_shop():
    shop = make_shop()
    person = make_member(shop=shop)

    with pytest.raises(IntegrityError), transaction.atomic():
        ShopMember.objects.create(shop=shop, person=person, role=ShopRole.OWNER)

    assert ShopMember.objects.get().role == ShopRole.CASHIER


def test_roles_are_known_by_shop():
    owned, served, _foreign = make_shop(), make_shop(), make_shop()
    person = make_member(shop=owned, role=ShopRole.OWNER)
    make_member(shop=served, role=ShopRole.CASHIER, person=person)

    assert shops.roles_of(person) == {owned.pk: ShopRole.OWNER, served.pk: ShopRole.CASHIER}
    assert set(shops.require_merchant(person)) == {owned.pk, served.pk}
    assert shops.require_merchant(person, ShopRole.CASHIER)[served.pk] == ShopRole.CASHIER


def test_a_role_that_is_held_nowhere_is_refused(cast):
    with pytest.raises(NotAllowed):
        shops.require_merchant(cast.cashier, ShopRole.OWNER)


def test_who_works_nowhere_is_no_merchant(cast):
    with pytest.raises(NotAMerchant):
        shops.require_merchant(cast.customer, ShopRole.OWNER)


def test_the_only_open_shop_is_meant_without_an_id():
    make_shop(is_open=False)
    shop = make_shop()

    assert shops.only_open_shop() == shop
    assert shops.open_shop(shop.pk) == shop


@pytest.mark.parametrize("number_of_shops", [0, 2])
def test_without_an_id_one_shop_must_be_open(number_of_shops):
    for _ in range(number_of_shops):
        make_shop()

    with pytest.raises(ValidationFailed) as refused:
        shops.only_open_shop()

    assert list(refused.value.data) == ["shop_id"]


def test_a_closed_shop_is_not_meant():
    closed = make_shop(is_open=False)
    make_shop()

    for shop_id in (closed.pk, 999_999, None):
        with pytest.raises(ValidationFailed) as refused:
            shops.open_shop(shop_id)
        assert list(refused.value.data) == ["shop_id"]
