"""Lists are written from columns, and the API documents read the serializers of single rows.

Here the two are held together: each list is, byte for byte, what its serializer makes of the rows.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import pytest
from django.core import signing
from django.utils import timezone, translation
from rest_framework.request import Request
from rest_framework.serializers import BaseSerializer

from accounts.models import User
from catalog.models import Order, Product, ProductStatus
from catalog.outputs import OrderOutput, ProductOutput
from catalog.services import orders
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
from favorites.models import Favorite
from favorites.serializers import FavoriteOutput
from lottery.models import Draw, Wheel
from lottery.serializers import RecordOutput
from lottery.services import publishing
from lottery.services.draws import draw
from lottery.tests.factories import goods_prize, make_wheel, points_prize
from ops.api.renderer import encode_success
from reviews.models import ProcessStatus, Receipt, ReceiptStatus
from reviews.serializers import ReceiptOutput, ReviewOutput
from reviews.tests.factories import make_decided, make_receipt, make_record, make_reviewer
from tests.api import client_of
from tests.people import make_person

pytestmark = pytest.mark.django_db

LONG = "“\\”\u2028<&>'\"\n茶😀 " * 20


@dataclass(frozen=True)
class List:
    """A list: who asks for it where, and the rows that it shows, each with all that is shown."""

    path: str
    reader: User
    shape: type[BaseSerializer[Any]]
    rows: Callable[[], Iterable[Any]]


LISTS: dict[str, Callable[[], List]] = {}


def list_of(name: str) -> Callable[[Callable[[], List]], Callable[[], List]]:
    def keep(make: Callable[[], List]) -> Callable[[], List]:
        LISTS[name] = make
        return make

    return keep


def newest_first(model: Any, **wanted: Any) -> Callable[[], Iterable[Any]]:
    return lambda: model.objects.filter(**wanted).order_by("-pk")


def make_products() -> list[Product]:
    """One as plain as can be, one with everything, one that was withdrawn, one with codes."""
    now = timezone.now()
    plain = make_product(stock=0, market_price=Decimal(0))
    rich = make_product(
        name=LONG[:100],
        description=LONG,
        category=make_category(name=LONG[:40]),
        points_price=2**30,
        market_price=Decimal("99999999.99"),
        on_sale_from=now.replace(microsecond=0),
        on_sale_until=now.replace(year=now.year + 1, month=1, day=1, microsecond=120_000),
        limit_per_person=3,
    )
    withdrawn = make_product(description="gone", category=rich.category)
    for number, product in enumerate([rich, withdrawn, withdrawn, rich]):
        add_picture(product_id=product.pk, content=make_png((9, 9 + number)))
    add_picture(product_id=plain.pk, content=make_png((2000, 1000)))
    return [plain, rich, withdrawn, make_product(codes=["A-2", "A-1", LONG[:30].strip()])]


@list_of("orders")
def _() -> List:
    person = make_person(points=1_000_000)
    plain, rich, withdrawn, coded = make_products()
    Product.objects.filter(pk=rich.pk).update(points_price=7, on_sale_from=None)
    Product.objects.filter(pk=plain.pk).update(stock=9)
    taken_back = make_order(person=person, product=plain)
    orders.cancel(person_id=person.pk, order_id=taken_back.pk)
    handed_over = make_order(person=person, product=rich, quantity=2)
    cashier = make_member(shop=rich.shop)
    orders.redeem(cashier=cashier, exchange_code=handed_over.exchange_code)
    late = make_order(person=person, product=withdrawn)
    Order.objects.filter(pk=late.pk).update(status="expired", returned_at=timezone.now())
    make_order(person=person, product=coded, quantity=2)
    make_prize_order(person=person, product=coded, kind="virtual")
    make_prize_order(person=person, product=withdrawn)
    make_prize_order(person=person, name=LONG[:100])
    make_order(person=person, product=withdrawn, quantity=3)
    Product.objects.filter(pk=withdrawn.pk).update(status=ProductStatus.INACTIVE)
    mine = newest_first(Order, person=person)
    assert {order.status for order in mine()} == {
        *["pending", "redeemed", "delivered", "cancelled", "expired"]
    }
    return List("/api/exchange/orders", person, OrderOutput, mine)


@list_of("draws")
def _() -> List:
    person = make_person(points=1_000_000)
    _plain, rich, _withdrawn, coded = make_products()
    rich.stock, rich.market_price = 100, Decimal("12.5")
    rich.save(update_fields=["stock", "market_price"])
    wheel = make_wheel(
        points_prize("50", probability="0.3", name=LONG[:50], is_pity_prize=True),
        goods_prize(rich, probability="0.2", special_effect="fireworks"),
        goods_prize(coded, probability="0.2"),
        {"type": "coupon", "value": Decimal("3.50"), "probability": "0.1", "is_activity": True},
        pity_threshold=2,
    )
    for name in ("Earlier", "In force"):
        draw(person_id=person.pk, wheel_id=wheel.pk, count=10)
        Wheel.objects.filter(pk=wheel.pk).update(name=name)
        wheel.prizes.update(color="#112233")
        publishing.publish(wheel_id=wheel.pk)
    draw(person_id=person.pk, wheel_id=wheel.pk, count=10)
    draw(person_id=person.pk, wheel_id=make_wheel().pk, count=1)
    mine = newest_first(Draw, person=person, wheel=wheel)
    assert len({one.version_id for one in mine()}) == 3
    assert {one.order_id is None for one in mine()} == {True, False}
    return List(
        f"/api/lottery/records?wheel_id={wheel.pk}&page_size=100", person, RecordOutput, mine
    )


@list_of("favorites")
def _() -> List:
    person = make_person()
    products = make_products()
    for product in (*products, make_product()):
        favorites.add(person=person, product_id=product.pk)
    Product.objects.filter(pk=products[2].pk).update(status=ProductStatus.INACTIVE)
    Product.objects.filter(pk=products[0].pk).update(is_listed=False)
    favorites.add(person=make_person(), product_id=products[1].pk)

    def kept() -> Iterable[Product]:
        for favorite in newest_first(Favorite, person=person)():
            product = favorite.product
            product.is_favorite, product.favorited_at = True, favorite.created_at
            yield product

    return List("/api/favorites", person, FavoriteOutput, kept)


@list_of("products")
def _() -> List:
    person = make_person(points=2**30)
    make_products()
    make_product(status=ProductStatus.INACTIVE)

    def visible() -> Iterable[Product]:
        for product in Product.objects.visible().order_by("-pk"):
            product.is_favorite = False  # type: ignore[attr-defined]
            yield product

    return List("/api/exchange/products?affordable=1", person, ProductOutput, visible)


def make_receipts(**whose: Any) -> None:
    """Fresh, being read, not readable, read twice, approved, rejected, and odd in many ways."""
    for status in ProcessStatus:
        make_receipt(process=status, read=status == ProcessStatus.COMPLETED, **whose)
    again = make_receipt(process=ProcessStatus.FAILED, **whose)
    make_record(again, model_name="scripted", duration=1200)
    make_decided(points=7, reason="Thank you", confidence=Decimal("0.5"), **whose)
    make_decided(ReceiptStatus.REJECTED, reason=LONG, input_amount=Decimal("9999.99"), **whose)
    make_receipt(
        risk_score=100,
        risk_reasons=[
            {"code": "seen_before", "facts": {"upload_id": 5}},
            {"code": "amount_above_read", "facts": {}},
            {"code": "low_confidence"},
            {"code": "of_another_release", "facts": None},
        ],
        recognized_amount=Decimal("0.01"),
        **whose,
    )


@list_of("receipts")
def _() -> List:
    person = make_person()
    make_receipts(person=person)
    mine = Receipt.objects.filter(person=person).with_process().order_by("-pk")
    return List("/api/photo/history", person, ReceiptOutput, mine.all)


@list_of("reviews")
def _() -> List:
    shop = make_shop()
    for fields in ({"nickname": LONG[:40]}, {"phone": None, "wechat_openid": "o1"}):
        make_receipts(shop=shop, person=make_person(**fields))
    make_receipt()
    return List(
        "/api/merchant/reviews?status=all",
        make_reviewer(shop),
        ReviewOutput,
        Receipt.objects.filter(shop=shop).with_process().order_by("-pk").all,
    )


@pytest.fixture(autouse=True)
def one_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Signed addresses of two seconds differ."""
    monkeypatch.setattr(signing.TimestampSigner, "timestamp", lambda _signer: "1wzzzz")


def hold(asked: List, *, language: str) -> None:
    """See that a list is what its serializer makes of the rows."""
    answer = client_of(asked.reader).get(asked.path, headers={"Accept-Language": language})
    request = Request(answer.wsgi_request)
    request.user = asked.reader
    with translation.override(language):
        items = asked.shape(list(asked.rows()), many=True, context={"request": request}).data
    assert len(items) >= 4
    assert answer.content == encode_success({"items": items, "next": None})


@pytest.mark.parametrize("language", ["en", "zh-hans"])
@pytest.mark.parametrize("name", LISTS)
def test_a_list_is_what_its_serializer_makes_of_the_rows(name: str, language: str) -> None:
    hold(LISTS[name](), language=language)


@pytest.mark.parametrize("name", LISTS)
def test_so_it_is_in_another_time_zone_and_with_pictures_elsewhere(
    name: str, settings: Any
) -> None:
    settings.TIME_ZONE = "UTC"
    settings.PUBLIC_FILES_URL = "https://cdn.example/shop"
    hold(LISTS[name](), language="en")
