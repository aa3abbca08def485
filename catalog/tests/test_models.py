"""What the database itself refuses, whoever writes; and how rows are called in the console."""

from decimal import Decimal

import pytest
from django.db import IntegrityError, transaction
from django.utils import timezone

from catalog.models import (
    Order,
    Product,
    ProductImage,
    ProductTemplate,
    Selection,
    SelectionStatus,
    ShopMember,
    StockEntry,
    VirtualCode,
)
from catalog.services.pictures import add_picture
from catalog.tests.factories import (
    make_category,
    make_member,
    make_order,
    make_png,
    make_prize_order,
    make_product,
    make_shop,
)
from favorites import services as favorites

pytestmark = pytest.mark.django_db

NOW = timezone.now()


def make_selection(**fields):
    return Selection.objects.create(
        **{
            "shop": make_shop(),
            "name": "Mug",
            "cost": Decimal("7.50"),
            "market_price": Decimal(20),
            "suggested_points": 200,
            **fields,
        }
    )


def database_refuses(queryset, **change):
    with pytest.raises(IntegrityError), transaction.atomic():
        queryset.update(**change)


@pytest.mark.parametrize(
    "change",
    [
        {"stock": -1},
        {"sales_count": -1},
        {"points_price": 0},
        {"market_price": Decimal(-1)},
        {"limit_per_person": 0},
        {"kind": "liquid"},
        {"status": "lost"},
        {"on_sale_from": NOW, "on_sale_until": NOW},
    ],
)
def test_a_product_that_cannot_be_is_refused(change):
    make_product()

    database_refuses(Product.objects.all(), **change)


@pytest.mark.parametrize(
    "change",
    [
        {"quantity": 0, "total_points": 0},
        {"quantity": 100, "total_points": 10_000},
        {"total_points": 99},
        {"unit_points": 0, "total_points": 0},
        {"product": None},
        {"source": "gift"},
        {"kind": "liquid"},
        {"status": "lost"},
        {"status": "redeemed"},
        {"status": "delivered", "delivered_at": NOW, "expires_at": None},
        {"status": "cancelled"},
        {"status": "expired"},
        {"returned_at": NOW},
        {"redeemed_at": NOW},
        {"expires_at": None},
    ],
)
def test_an_order_that_cannot_be_is_refused(change):
    make_order()

    database_refuses(Order.objects.all(), **change)


@pytest.mark.parametrize(
    "change", [{"unit_points": 5, "total_points": 5}, {"related_id": ""}, {"source": "exchange"}]
)
def test_a_prize_that_cannot_be_is_refused(change):
    make_prize_order()

    database_refuses(Order.objects.all(), **change)


@pytest.mark.parametrize(
    "change",
    [
        {"status": SelectionStatus.LISTED},
        {"status": "lost"},
        {"cost": Decimal(-1)},
        {"score": Decimal(101)},
    ],
)
def test_a_selection_that_cannot_be_is_refused(change):
    make_selection()

    database_refuses(Selection.objects.all(), **change)


def test_a_selection_knows_its_margin():
    assert make_selection().margin == Decimal("12.50")


def test_a_role_that_cannot_be_is_refused():
    make_member(shop=make_shop())

    database_refuses(ShopMember.objects.all(), role="guest")


def test_a_code_that_is_delivered_to_nobody_is_refused():
    make_product(codes=["A-1"])

    database_refuses(VirtualCode.objects.all(), delivered_at=NOW)


def test_rows_have_names_for_people():
    shop = make_shop(name="Corner")
    member = ShopMember.objects.get(person=make_member(shop=shop))
    product = make_product(name="Tea", shop=shop, codes=["A-1", "A-2"])
    order = make_order(product=product)
    image = add_picture(product_id=product.pk, content=make_png((9, 9)))
    template = ProductTemplate.objects.create(
        title="Hot drinks", name="Tea", kind="coupon", points_price=1, market_price=1
    )
    favorite = favorites.add(person=order.person, product_id=product.pk)

    assert [str(shop), str(product), str(template)] == ["Corner", "Tea", "Hot drinks"]
    assert str(make_category(name="Drinks")) == "Drinks"
    assert str(make_selection()) == "Mug"
    assert str(order) == f"#{order.pk} Tea"
    assert str(member).startswith(f"{member.person_id} ")
    assert str(StockEntry.objects.earliest("pk")) == f"{product.pk}/1: +2"
    assert str(VirtualCode.objects.earliest("pk")).startswith(f"{product.pk} ")
    assert str(ProductImage.objects.get(pk=image.pk)) == "图片 0"
    assert str(favorite) == f"{order.person_id} {product.pk}"
