"""Small makers of what a test of the catalog needs, by the services wherever there are some."""

import io
from contextlib import contextmanager
from decimal import Decimal
from itertools import count

import pytest
from django.db import transaction
from PIL import Image

from accounts.models import PointsEntry, User
from catalog.models import (
    Category,
    Order,
    Product,
    ProductKind,
    ProductStatus,
    Shop,
    ShopRole,
    StockEntry,
    StockOperation,
    VirtualCode,
)
from catalog.services import invitations, orders
from catalog.services.members import join
from catalog.services.stock import change_stock, lock_product
from catalog.services.virtual_codes import add_codes
from tests.people import make_person

numbers = count(1)


def make_shop(**fields):
    return Shop.objects.create(**{"name": f"Shop {next(numbers)}", **fields})


def make_member(*, shop, role=ShopRole.CASHIER, person=None):
    person = person or make_person()
    join(shop_id=shop.pk, person=person, role=ShopRole(role))
    person.refresh_from_db()
    return person


def invite_from_elsewhere(person):
    """An invitation of a person to a shop of somebody else."""
    owner = make_member(shop=make_shop(), role=ShopRole.OWNER)
    return invitations.invite(
        shop_id=owner.memberships.get().shop_id,
        phone=person.phone,
        role=ShopRole.CASHIER,
        author_id=owner.pk,
    )


def make_category(**fields):
    return Category.objects.create(**{"name": f"Category {next(numbers)}", **fields})


def make_product(*, stock=5, codes=None, shop=None, **fields):
    number = next(numbers)
    product = Product.objects.create(
        **{
            "shop": shop or make_shop(),
            "name": f"Product {number}",
            "kind": ProductKind.PHYSICAL if codes is None else ProductKind.VIRTUAL,
            "points_price": 100,
            "market_price": Decimal("12.50"),
            "status": ProductStatus.ACTIVE,
            **fields,
        }
    )
    if codes is not None:
        add_codes(product_id=product.pk, codes=codes)
    elif stock:
        change_stock(
            product_id=product.pk, quantity=stock, operation=StockOperation.RESTOCK, reason="test"
        )
    product.refresh_from_db()
    return product


def make_order(*, person=None, product=None, quantity=1):
    product = product or make_product()
    person = person or make_person(points=10_000)
    return orders.exchange(person_id=person.pk, product_id=product.pk, quantity=quantity)


@transaction.atomic
def make_prize_order(*, person=None, product=None, **fields):
    prize = orders.WonPrize(
        **{
            "draw_id": f"draw-{next(numbers)}",
            "product": product and lock_product(product.pk),
            "name": "Free dessert",
            "kind": ProductKind.COUPON,
            "shop_id": None,
            **fields,
        }
    )
    (order,) = orders.orders_for_prizes(person_id=(person or make_person()).pk, prizes=[prize])
    return order


def make_png(size=(2000, 1000), colour=(0, 0, 0, 0)):
    written = io.BytesIO()
    Image.new("RGBA", size, colour).save(written, format="PNG")
    return written.getvalue()


def everything():
    """What no refusal may change: balances, stock, ledgers, orders and codes."""
    return {
        "people": list(User.objects.order_by("pk").values_list("pk", "total_points")),
        "products": list(
            Product.objects.order_by("pk").values_list(
                "pk", "stock", "stock_version", "sales_count"
            )
        ),
        "points": PointsEntry.objects.count(),
        "stock": StockEntry.objects.count(),
        "orders": list(Order.objects.order_by("pk").values_list("pk", "status", "redeemed_at")),
        "codes": list(VirtualCode.objects.order_by("pk").values_list("pk", "order")),
    }


@contextmanager
def refused_unchanged(refusal):
    """What is tried in here is refused so, and nothing is changed by it; gives what was raised."""
    before = everything()
    with pytest.raises(refusal) as refused:
        yield refused
    after = everything()
    assert after == before, (before, after)  # pytest explains asserts in test modules only
