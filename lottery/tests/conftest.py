"""A wheel and a person, for the tests of the API."""

import pytest

from catalog.tests.factories import make_product
from lottery.tests.factories import goods_prize, make_wheel, points_prize
from tests.people import make_person


@pytest.fixture
def wheel():
    return make_wheel(
        points_prize("50", probability="0.25", is_activity=True),
        goods_prize(make_product(stock=100), probability="0.25"),
        points_prize("5", probability="0.1", is_pity_prize=True),
        pity_threshold=10,
        daily_limit=100,
        is_default=True,
    )


@pytest.fixture
def person():
    return make_person(points=10_000)
