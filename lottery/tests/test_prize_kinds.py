"""Every kind of prize, from its row in the table to what a draw makes of it."""

from decimal import Decimal

import pytest

from accounts.models import PointsEntry, PointsSource
from catalog.models import OrderStatus, ProductKind
from catalog.tests.factories import make_product
from lottery.models import PrizeType
from lottery.prize_kinds import PRIZE_KINDS, WITHOUT_ORDER
from lottery.services.draws import draw
from lottery.tests.factories import make_wheel
from lottery.tests.tables import findings
from tests.people import make_person


def test_every_type_has_a_row():
    assert list(PRIZE_KINDS) == list(PrizeType)
    assert WITHOUT_ORDER == (PrizeType.POINTS, PrizeType.EMPTY)
    for kind in PRIZE_KINDS.values():
        assert not (kind.credits_points and kind.opens_order)
        assert kind.opens_order or not kind.needs_product


WITH_AND_WITHOUT_PRODUCT = [
    (prize_type, with_product)
    for prize_type, kind in PRIZE_KINDS.items()
    for with_product in (False, True)
    if kind.needs_product <= with_product <= kind.opens_order
]


@pytest.mark.django_db
@pytest.mark.parametrize(("prize_type", "with_product"), WITH_AND_WITHOUT_PRODUCT)
def test_every_type_can_be_published_and_drawn(prize_type, with_product):
    """A new type that the table forgets to explain fails here, not in a customer's draw."""
    kind = PRIZE_KINDS[prize_type]
    prize = {"type": prize_type, "probability": 1}
    if kind.credits_points or kind.is_money:
        prize["value"] = Decimal(7)
    if with_product:
        is_virtual = kind.product_kind == ProductKind.VIRTUAL
        codes = {"codes": ["A-1"]} if is_virtual else {"stock": 1}
        prize["product"] = make_product(kind=kind.product_kind, **codes)
    person = make_person(points=100)

    (drawn,) = draw(person_id=person.pk, wheel_id=make_wheel(prize).pk, count=1).draws

    credited = PointsEntry.objects.filter(source=PointsSource.PRIZE, user=person)
    assert [entry.points for entry in credited] == ([7] if kind.credits_points else [])
    assert (drawn.order is not None) is kind.opens_order
    if drawn.order:
        delivers = with_product and kind.product_kind == ProductKind.VIRTUAL
        assert drawn.order.kind == kind.product_kind
        assert drawn.order.status == (OrderStatus.DELIVERED if delivers else OrderStatus.PENDING)
    assert findings() == []
