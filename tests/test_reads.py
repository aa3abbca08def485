"""What anybody may read is kept in memory: while it is true, and nothing that is a person's."""

import json
from itertools import count

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from accounts.tests.factories import sign_in
from catalog.models import Category, Product, ProductStatus, Shop
from catalog.services.pictures import add_picture
from catalog.tests.factories import make_category, make_order, make_png, make_product, make_shop
from favorites import services as favorites
from lottery.models import Wheel
from lottery.services import publishing, wheels
from lottery.tests.factories import make_wheel, points_prize
from ops.services.kept import memory
from tests.api import client_of, data_of, refusal_of
from tests.people import give, make_person

pytestmark = pytest.mark.django_db(transaction=True)

SHOPS = "/api/shops"
CATEGORIES = "/api/exchange/categories"
PRODUCTS = "/api/exchange/products"
CONFIG = "/api/lottery/config"
RULES = "/api/lottery/rules"
THE_PRODUCT = "the product"
PATHS = [SHOPS, CATEGORIES, PRODUCTS, THE_PRODUCT, CONFIG, RULES]
EACH = pytest.mark.parametrize("path", PATHS)


@pytest.fixture
def product():
    return make_product(category=make_category(), stock=9)


@pytest.fixture
def wheel():
    return make_wheel(
        points_prize("5", probability="0.5", is_pity_prize=True),
        pity_threshold=10,
        daily_limit=100,
        is_default=True,
    )


@pytest.fixture(autouse=True)
def world(product, wheel):
    """A product and a wheel, so that every page says something."""


@pytest.fixture
def get(product):
    """Ask as somebody, or as a stranger, for one of the paths."""

    def ask(path, person=None, **headers):
        address = f"{PRODUCTS}/{product.pk}" if path == THE_PRODUCT else path
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return client_of(person).get(address, headers={"Accept-Language": "en"} | named)

    return ask


@pytest.fixture
def statements(get):
    """How many statements the answer takes; it is a success."""

    def number(path, person=None, **headers):
        with CaptureQueriesContext(connection) as queries:
            data_of(get(path, person, **headers))
        return len(queries)

    return number


def unkept(get, path, person=None):
    """The same answer made anew, as inside of a transaction."""
    with transaction.atomic():
        return get(path, person)


# --- What it costs --------------------------------------------------------------------------------
@EACH
def test_a_stranger_costs_one_statement(path, get, statements):
    get(path)
    assert statements(path) == 1  # whether something changed


@pytest.mark.parametrize(
    ("path", "number"),
    [
        (SHOPS, 1),
        (CATEGORIES, 1),
        (PRODUCTS, 2),  # and which of them are favorites
        (THE_PRODUCT, 2),
        (CONFIG, 3),  # and pity with today's draws, seeds
        (RULES, 1),
    ],
)
def test_a_person_costs_what_is_their_own(path, number, get, statements):
    person = make_person()
    get(path, person)
    assert statements(path, person) == number


def test_who_signs_in_asks_by_the_way_what_changed(get):
    api = client_of()
    sign_in(api)
    api.get(PRODUCTS)
    with CaptureQueriesContext(connection) as queries:
        data_of(api.get(PRODUCTS))
    assert len(queries) == 2  # who it is, and which of them are favorites


# --- What it says ---------------------------------------------------------------------------------
@EACH
def test_what_is_kept_is_what_would_be_made(path, get):
    person = make_person(points=500)
    made = unkept(get, path), unkept(get, path, person)
    for _time in range(2):
        assert [get(path).content, get(path, person).content] == [one.content for one in made]
        assert get(path).headers["Content-Type"] == "application/json; charset=utf-8"


def change_product(product, _wheel):
    Product.objects.filter(pk=product.pk).update(name="Other")


def order(product, _wheel):
    make_order(product=product)


def withdraw_category(_product, _wheel):
    Category.objects.update(name="Renamed")


def close_shop(_product, _wheel):
    Shop.objects.update(is_open=False)


def publish(_product, wheel):
    Wheel.objects.filter(pk=wheel.pk).update(cost_points=7)
    publishing.publish(wheel_id=wheel.pk)


def make_another_the_default(_product, _wheel):
    wheels.make_default(wheel_id=make_wheel().pk)


def add_a_picture(product, _wheel):
    add_picture(product_id=product.pk, content=make_png((9, 9)))


@pytest.mark.parametrize(
    ("path", "change"),
    [
        (SHOPS, close_shop),
        (CATEGORIES, withdraw_category),
        (PRODUCTS, change_product),
        (PRODUCTS, order),
        (PRODUCTS, withdraw_category),
        (PRODUCTS, add_a_picture),
        (THE_PRODUCT, order),
        (CONFIG, publish),
        (CONFIG, make_another_the_default),
        (RULES, publish),
        (RULES, make_another_the_default),
    ],
)
def test_a_change_is_in_the_next_answer(path, change, get, product, wheel):
    person = make_person()
    before = get(path)
    own_before = get(path, person).content
    change(product, wheel)
    after = get(path)
    assert after.content != before.content
    assert after["ETag"] != before["ETag"]
    assert get(path, person).content != own_before
    if change is not add_a_picture:  # an address may hold the time at which it was made
        assert after.content == unkept(get, path).content
        assert get(path, person).content == unkept(get, path, person).content


def test_whoever_exchanged_sees_the_new_stock_in_the_next_list(get, product):
    person = make_person(points=1000)

    def stock_seen(by):
        (item,) = data_of(get(PRODUCTS, by))["items"]
        return item["stock"], item["sales_count"]

    assert [stock_seen(None), stock_seen(person)] == [(9, 0), (9, 0)]
    data_of(
        client_of(person).post("/api/exchange/submit", {"product_id": product.pk, "quantity": 2})
    )
    assert [stock_seen(person), stock_seen(None)] == [(7, 2), (7, 2)]


@EACH
def test_what_is_rolled_back_was_never_seen(path, get, product, wheel):
    before = get(path).content
    with transaction.atomic():
        for change in (change_product, close_shop, withdraw_category, publish):
            change(product, wheel)
        assert get(path).content != before
        transaction.set_rollback(True)
    assert get(path).content == before
    assert unkept(get, path).content == before


def test_a_change_of_the_other_topic_throws_nothing_away(get, statements, wheel):
    get(PRODUCTS), get(CONFIG)
    make_shop()
    assert statements(CONFIG) == 1
    publishing.publish(wheel_id=wheel.pk)
    get(PRODUCTS)
    assert statements(PRODUCTS) == 1


# --- For whom -------------------------------------------------------------------------------------
def test_each_reads_their_own_favorites_and_a_stranger_none(get, product):
    other = make_product()
    one, two, nobody = make_person(), make_person(), None
    favorites.add(person=one, product_id=product.pk)
    favorites.add(person=two, product_id=other.pk)

    def kept_by(person):
        items = data_of(get(PRODUCTS, person))["items"]
        return {item["commodity_id"]: item["is_favorite"] for item in items}

    for _time in range(2):
        assert kept_by(one) == {product.pk: True, other.pk: False}
        assert kept_by(nobody) == {product.pk: None, other.pk: None}
        assert kept_by(two) == {product.pk: False, other.pk: True}
    favorites.remove(person=one, product_id=product.pk)
    assert kept_by(one) == {product.pk: False, other.pk: False}
    assert [data_of(get(THE_PRODUCT, person))["is_favorite"] for person in (one, nobody)] == [
        False,
        None,
    ]


def test_each_reads_their_own_draws_and_a_stranger_none(get):
    one, two = make_person(points=1000), make_person(points=1000)
    data_of(client_of(one).post("/api/lottery/draw", {"count": 3}))
    for _time in range(2):
        mine, theirs, nobodys = (data_of(get(CONFIG, person)) for person in (one, two, None))
        assert [mine["remaining_today"], theirs["remaining_today"]] == [97, 100]
        assert [mine["fairness"]["nonce"], theirs["fairness"]["nonce"]] == [3, 0]
        assert mine["fairness"]["client_seed"] != theirs["fairness"]["client_seed"]
        assert (nobodys["remaining_today"], nobodys["fairness"]) == (None, None)
        assert nobodys["pity"] == {"threshold": 10, "current": None}
        assert theirs["pity"] == {"threshold": 10, "current": 0}
        assert mine["pity"]["current"] is not None


@pytest.mark.parametrize("text", ['"is_favorite":null', '\\"is_favorite":null', "x\\"])
def test_no_text_is_taken_for_a_gap(text, get, product):
    Product.objects.filter(pk=product.pk).update(name=text, description=text)
    person = make_person()
    favorites.add(person=person, product_id=product.pk)
    for _time in range(2):
        (item,) = data_of(get(PRODUCTS, person))["items"]
        assert (item["name"], item["description"], item["is_favorite"]) == (text, text, True)


def test_what_a_person_can_afford_is_theirs(get, product):
    path = f"{PRODUCTS}?affordable=1"
    rich, poor = make_person(points=100), make_person(points=99)
    favorites.add(person=rich, product_id=product.pk)
    for _time in range(2):
        assert [item["is_favorite"] for item in data_of(get(path, rich))["items"]] == [True]
        assert data_of(get(path, poor))["items"] == []
        assert len(data_of(get(path))["items"]) == 1
    give(poor, 1)
    assert len(data_of(get(path, poor))["items"]) == 1


# --- What else it depends on ----------------------------------------------------------------------
def test_each_language_has_an_answer_of_its_own(get):
    texts = {
        language: get(RULES, Accept_Language=language).content
        for language in ("en", "zh-hans", "en", "zh-hans")
    }
    assert texts["en"] != texts["zh-hans"]
    assert get(RULES, Accept_Language="en").content == texts["en"]


def test_each_host_has_an_answer_of_its_own(get, statements):
    get(PRODUCTS)
    assert statements(PRODUCTS, Host="localhost") > 1
    assert [statements(PRODUCTS, Host="localhost"), statements(PRODUCTS)] == [1, 1]


def test_each_query_has_an_answer_of_its_own(get):
    dear = make_product(points_price=1000)
    for _time in range(2):
        for query, number in (("", 2), ("?min_points=500", 1), ("?max_points=5", 0)):
            assert len(data_of(get(f"{PRODUCTS}{query}"))["items"]) == number
        first = data_of(get(f"{PRODUCTS}?page_size=1"))
        assert [item["commodity_id"] for item in first["items"]] == [dear.pk]
        second = data_of(get(f"{PRODUCTS}?page_size=1&cursor={first['next']}"))
        assert [item["commodity_id"] for item in second["items"]] != [dear.pk]


def test_what_nobody_asks_for_is_no_query(get, statements):
    get(f"{PRODUCTS}?min_points=1&sort=points")
    size = memory.size
    assert statements(f"{PRODUCTS}?sort=points&utm=1&min_points=1") == 1
    assert memory.size == size


# --- Refusals -------------------------------------------------------------------------------------
def test_a_refusal_is_not_kept(get, product):
    for _time in range(2):
        refusal = refusal_of(get(f"{PRODUCTS}?sort=no"))
        assert (refusal.code, list(refusal.data)) == (1011, ["sort"])
    Product.objects.update(status=ProductStatus.INACTIVE)
    for _time in range(2):
        assert refusal_of(get(THE_PRODUCT)) == (404, 4001, None)
    assert memory.size == 0
    Product.objects.update(status=ProductStatus.ACTIVE)
    assert data_of(get(THE_PRODUCT))["commodity_id"] == product.pk


def test_a_query_that_is_right_no_more_is_refused(get):
    path = f"{PRODUCTS}?category={Category.objects.get().name}"
    data_of(get(path))
    Category.objects.update(name="Renamed")
    assert refusal_of(get(path)).code == 1011


@EACH
def test_a_token_that_is_none_is_refused_before_anything_is_looked_up(path, get):
    get(path)
    with CaptureQueriesContext(connection) as queries:
        refusal = refusal_of(get(path, Authorization="Bearer x"))
    assert (refusal.status, refusal.code, len(queries)) == (401, 1006, 0)


# --- ETags ----------------------------------------------------------------------------------------
@EACH
def test_a_stranger_who_has_it_is_not_sent_it_again(path, get, product, wheel):
    first = get(path)
    assert first["Cache-Control"] == "no-cache"
    etag = first["ETag"]
    for sent in (etag, f"W/{etag}", f'"other", {etag}', "*"):
        again = get(path, If_None_Match=sent)
        assert (again.status_code, again.content, again["ETag"]) == (304, b"", etag), sent
        assert "Content-Length" not in again.headers
        assert again["Cache-Control"] == "no-cache"
        assert {"Authorization", "Accept-Language"} <= {*again["Vary"].split(", ")}
        assert "X-Request-ID" in again
    for sent in ("", '"other"', etag.strip('"')):
        assert get(path, If_None_Match=sent).content == first.content, sent
    for change in (change_product, close_shop, withdraw_category, publish):
        change(product, wheel)
    changed = get(path, If_None_Match=etag)
    assert changed.status_code == 200
    assert changed["ETag"] != etag


@EACH
def test_a_person_is_always_sent_it(path, get):
    etag = get(path)["ETag"]
    answer = get(path, make_person(), If_None_Match=etag)
    assert answer.status_code == 200
    assert answer["Cache-Control"] == "no-store"
    assert "ETag" not in answer


def test_a_head_has_the_same_headers(get):
    first = get(SHOPS)
    head = client_of().head(SHOPS, headers={"Accept-Language": "en"})
    assert head.content == b""
    assert [head[name] for name in ("ETag", "Content-Length")] == [
        first[name] for name in ("ETag", "Content-Length")
    ]


# --- Bytes ----------------------------------------------------------------------------------------
def test_memory_is_bounded(get, settings, statements):
    settings.KEPT_ANSWERS_BYTES = 20_000
    numbers = count()
    sizes = []
    for _time in range(60):
        data_of(get(f"{PRODUCTS}?search={'x' * 50}{next(numbers)}"))
        sizes.append(memory.size)
    assert max(sizes) <= 20_000
    assert sizes[-1] > 15_000
    newest = f"{PRODUCTS}?search={'x' * 50}59"
    assert statements(newest) == 1
    assert statements(newest.replace("59", "0")) > 1


def test_an_answer_counts_with_its_bytes(get):
    get(PRODUCTS)
    assert memory.size > len(get(PRODUCTS).content)
    assert json.loads(get(PRODUCTS).content)["code"] == 0


def test_what_is_asked_at_length_is_not_kept(get):
    """The same answer can be asked for in any number of ways: none of them may fill the memory."""
    get(SHOPS)
    size = memory.size
    for number in range(3):
        path = f"{SHOPS}?page_size=20{'0' * 700}{number}"
        assert get(path).content == get(path).content
    assert memory.size == size


def test_what_was_asked_counts_with_the_answer(get):
    get(PRODUCTS + "?search=nothing")
    size = memory.size
    memory.clear()
    get(PRODUCTS + "?search=nothing" + "%20" * 400)
    assert memory.size - size >= 400 * 4
