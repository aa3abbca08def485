"""How many statements a whole request takes, signing in and COMMIT included.

Who raises one of these numbers says why in the commit that does it.
"""

from uuid import uuid4

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounts.tests.factories import sign_in
from catalog.tests.factories import make_product
from lottery.tests.factories import goods_prize, make_wheel, points_prize
from tests.api import client_of, data_of
from tests.people import make_person

pytestmark = pytest.mark.django_db

# Who asks; then BEGIN, the claim of the key, its answer, COMMIT.
AROUND = 5


@pytest.fixture
def person():
    return make_person(points=1_000_000)


@pytest.fixture
def post(person):
    """Send one request, and then count the statements of the same again, under another key."""
    api = client_of()
    sign_in(api, person)

    def count(path, body):
        data_of(api.post(path, body, headers={"Idempotency-Key": uuid4().hex}))
        with CaptureQueriesContext(connection) as captured:
            data_of(api.post(path, body, headers={"Idempotency-Key": uuid4().hex}))
        return len(captured)

    return count


def draws(post, wheel, count=1):
    return post("/api/lottery/draw", {"wheel_id": wheel.pk, "count": count})


# --- Draws --------------------------------------------------------------------------------------
# The version, which a test that is not committed always asks for; seeds, pity and the draws of the
# day, the person; the draws, the nonce, pity; the ledger and its balance.
A_DRAW = AROUND + 9


@pytest.mark.parametrize("count", [1, 10])
def test_draws_of_nothing_or_of_points(post, count):
    assert draws(post, make_wheel(daily_limit=100), count) == A_DRAW == 14
    assert draws(post, make_wheel(points_prize(probability=1)), count) == A_DRAW


@pytest.mark.parametrize("count", [1, 10])
def test_draws_of_what_is_counted(post, count):
    counted = make_wheel(points_prize(probability=1, quantity=100))
    assert draws(post, counted, count) == A_DRAW + 2  # the prize, and its count


@pytest.mark.parametrize("count", [1, 10])
def test_draws_of_a_product(post, count):
    wheel = make_wheel(goods_prize(make_product(stock=100), probability=1))
    # The product, its order, its stock and the ledger of it, its pictures.
    assert draws(post, wheel, count) == A_DRAW + 5 == 19


def test_draws_of_several_products_and_counts(post):
    products = [make_product(stock=100) for _number in range(4)]
    prizes = [goods_prize(one, probability="0.25", daily_cap=100) for one in products]
    # Those of a product, and those of what is counted.
    assert draws(post, make_wheel(*prizes), 10) == A_DRAW + 5 + 2


# --- The mall -----------------------------------------------------------------------------------
def test_an_exchange(post):
    product = make_product(stock=100)
    # The product, the order, stock and its ledger, the person, points and their ledger, pictures.
    exchange = AROUND + 8
    body = {"product_id": product.pk}
    assert post("/api/exchange/submit", body) == exchange == 13
    limited = make_product(stock=100, limit_per_person=50)
    assert post("/api/exchange/submit", {"product_id": limited.pk}) == exchange + 1
