from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest
from django.db import DatabaseError, IntegrityError, transaction

from catalog.errors import NotEnoughStock, NotVirtual, ProductNotFound, StockIsCodes
from catalog.models import Product, ProductStatus, StockEntry, StockOperation, VirtualCode
from catalog.services.stock import change_stock, lock_products
from catalog.services.virtual_codes import add_codes, rehashed
from catalog.tests.factories import make_prize_order, make_product, refused_unchanged
from ops.realtime import push
from ops.services import key_ring
from ops.tests.databases import elsewhere, wait_until, waiting_for_a_lock
from tests.keys import NEW, OLD, OTHER, hash_as_before
from tests.people import make_person
from tests.races import kinds, race

pytestmark = pytest.mark.django_db


def test_every_change_is_an_entry():
    product, author = make_product(stock=5), make_person()

    entry = change_stock(
        product_id=product.pk,
        quantity=-2,
        operation=StockOperation.ADMIN_ADJUST,
        author_id=author.pk,
        reason="broken",
    )

    product.refresh_from_db()
    assert (product.stock, product.stock_version) == (3, 2)
    assert (entry.sequence, entry.quantity, entry.stock_after) == (2, -2, 3)
    assert (entry.author, entry.reason) == (author, "broken")


def test_stock_never_falls_below_nothing():
    product = make_product(stock=1)

    with refused_unchanged(NotEnoughStock) as refused:
        change_stock(
            product_id=product.pk, quantity=-2, operation=StockOperation.ADMIN_ADJUST, reason="x"
        )

    assert refused.value.data == {"available_stock": 1}


def test_nothing_has_no_stock():
    with pytest.raises(ProductNotFound):
        change_stock(product_id=999_999, quantity=1, operation=StockOperation.RESTOCK)


def test_one_cause_takes_stock_once():
    product = make_product(stock=5)
    taken = {"product_id": product.pk, "quantity": -1, "operation": StockOperation.PRIZE}
    change_stock(**taken, related_id="draw-1")

    with refused_unchanged(IntegrityError), transaction.atomic():
        change_stock(**taken, related_id="draw-1")


@pytest.mark.parametrize("change", [{"quantity": 9}, None])
def test_the_ledger_is_append_only(change):
    make_product(stock=5)
    entries = StockEntry.objects.all()

    with pytest.raises(DatabaseError), transaction.atomic():
        entries.update(**change) if change else entries.delete()

    assert StockEntry.objects.get().quantity == 5


def test_locked_products_come_by_id():
    first, second = make_product(), make_product()

    with transaction.atomic():
        held = lock_products([second.pk, first.pk, 999_999])

    assert list(held) == [first.pk, second.pk]


# --- Codes ------------------------------------------------------------------------------------
def test_codes_are_the_stock_of_a_virtual_product():
    product = make_product(codes=[])

    added = add_codes(product_id=product.pk, codes=["A-1", " A-2 ", "", "A-1"], author_id=None)

    assert added == 2
    product.refresh_from_db()
    assert product.stock == 2
    assert StockEntry.objects.get().operation == StockOperation.RESTOCK


def test_a_code_is_loaded_once():
    product = make_product(codes=["A-1"])

    assert add_codes(product_id=product.pk, codes=["A-1"]) == 0
    assert add_codes(product_id=product.pk, codes=["A-1", "A-2"]) == 1

    product.refresh_from_db()
    assert (product.stock, VirtualCode.objects.count()) == (2, 2)
    twin = VirtualCode.objects.earliest("pk")
    twin.pk = None
    with pytest.raises(IntegrityError), transaction.atomic():
        twin.save(force_insert=True)


def test_codes_are_encrypted_at_rest():
    make_product(codes=["SECRET-CODE"])

    row = VirtualCode.objects.values().get()

    assert "SECRET-CODE" not in str(row)


def test_a_code_loaded_under_an_older_key_is_known_before_and_after_it_is_hashed_anew(settings):
    settings.HASH_KEYS, settings.FIELD_ENCRYPTION_KEYS = [OTHER], [OLD]
    product = make_product(codes=["A-1", "A-2"])
    VirtualCode.objects.filter(pk=VirtualCode.objects.earliest("pk").pk).update(
        code_hash=hash_as_before("virtual code", "A-1"), key_id=""
    )
    settings.HASH_KEYS = [NEW, OTHER]
    assert add_codes(product_id=product.pk, codes=["A-1", "A-2", "A-3"]) == 1
    for code in VirtualCode.objects.all():
        VirtualCode.objects.filter(pk=code.pk).update(**rehashed(code))
        assert add_codes(product_id=product.pk, codes=["A-1", "A-2", "A-3"]) == 0
    assert set(VirtualCode.objects.values_list("key_id", flat=True)) == {key_ring.newest("hash").id}
    settings.HASH_KEYS, settings.FIELD_ENCRYPTION_KEYS = [NEW], [NEW]
    assert add_codes(product_id=product.pk, codes=["A-1", "A-2", "A-3"]) == 0


def test_only_virtual_products_have_codes():
    product = make_product(stock=0)

    with pytest.raises(NotVirtual):
        add_codes(product_id=product.pk, codes=["A-1"])

    assert not VirtualCode.objects.exists()


def test_the_stock_of_a_virtual_product_is_nothing_but_codes():
    product = make_product(codes=["A-1"])

    with refused_unchanged(StockIsCodes):
        change_stock(product_id=product.pk, quantity=1, operation=StockOperation.RESTOCK)


# --- Push -------------------------------------------------------------------------------------
def pushes_among(callbacks):
    """What is pushed after a commit; that it was counted is no business of these tests."""
    return [one for one in callbacks if one.func is push.publish]


def test_everybody_hears_of_a_change_once_it_is_committed(
    pushes, django_capture_on_commit_callbacks
):
    product = make_product(stock=5)

    with django_capture_on_commit_callbacks(execute=True) as callbacks:
        entry = change_stock(
            product_id=product.pk, quantity=2, operation=StockOperation.RESTOCK, reason="x"
        )

    assert len(pushes_among(callbacks)) == 1
    (event,) = pushes.take(1)
    assert event["owner_id"] is None
    assert event["version"] == 2
    assert event["type"] == "stock_update"
    assert event["data"] == {
        "product_id": product.pk,
        "stock": 7,
        "product_name": product.name,
        "operation": "restock",
        "stock_version": 2,
        "timestamp": push.timestamp(entry.created_at),
    }


HIDDEN = [
    {"status": ProductStatus.DRAFT},
    {"status": ProductStatus.INACTIVE},
    {"is_listed": False},  # the reserve of a prize
]


def restock(product):
    return change_stock(
        product_id=product.pk, quantity=1, operation=StockOperation.RESTOCK, reason="x"
    )


@pytest.mark.parametrize("hidden", HIDDEN, ids=str)
def test_nobody_hears_of_what_customers_do_not_see(
    pushes, django_capture_on_commit_callbacks, hidden
):
    product = make_product(stock=5, **hidden)
    virtual = make_product(codes=["A-1"], **hidden)

    with django_capture_on_commit_callbacks(execute=True) as callbacks:
        restock(product)
        add_codes(product_id=virtual.pk, codes=["A-2"])
        make_prize_order(product=product)

    assert StockEntry.objects.count() == 5
    assert pushes_among(callbacks) == []
    assert pushes.take(0) == []


def test_what_is_shown_again_is_heard_of_with_a_gap(pushes, django_capture_on_commit_callbacks):
    product = make_product(stock=5)

    with django_capture_on_commit_callbacks(execute=True):
        restock(product)
        for is_listed in (False, True):
            Product.objects.filter(pk=product.pk).update(is_listed=is_listed)
            restock(product)

    shown, again = pushes.take(2)
    assert [event["data"]["stock_version"] for event in (shown, again)] == [2, 4]
    assert again["data"]["stock"] == 8


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("change", "names"), [("name = 'New'", ["New"]), ("is_listed = false", [])]
)
def test_what_is_told_is_what_is_committed(pushes, change, names):
    """The form of the product was saved while the change waited for its row."""
    product = make_product(stock=0, name="Old")

    with elsewhere(autocommit=False) as other, ThreadPoolExecutor(1) as pool:
        with other.cursor() as cursor:
            cursor.execute(
                f"UPDATE catalog_product SET {change} WHERE id = %s",  # noqa: S608  written above
                [product.pk],
            )
        changing = pool.submit(race, [partial(restock, product)])
        wait_until(waiting_for_a_lock)
        other.commit()
        assert kinds(changing.result(10)) == {StockEntry: 1}

    assert [event["data"]["product_name"] for event in pushes.take(len(names))] == names


def test_a_refused_change_is_told_to_nobody(django_capture_on_commit_callbacks):
    product = make_product(stock=1)

    with (
        django_capture_on_commit_callbacks() as callbacks,
        pytest.raises(NotEnoughStock),
        transaction.atomic(),
    ):
        change_stock(product_id=product.pk, quantity=-2, operation=StockOperation.PURCHASE)

    assert pushes_among(callbacks) == []
    assert Product.objects.get(pk=product.pk).stock == 1
