import pytest
from django.db import DatabaseError, IntegrityError, transaction

from catalog.errors import NotEnoughStock, NotVirtual, ProductNotFound, StockIsCodes
from catalog.models import Product, StockEntry, StockOperation, VirtualCode
from catalog.services.stock import change_stock, lock_products
from catalog.services.virtual_codes import add_codes, rehashed
from catalog.tests.factories import make_product, refused_unchanged
from ops.realtime import push
from ops.services import key_ring
from tests.keys import NEW, OLD, OTHER, hash_as_before
from tests.people import make_person

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
def test_everybody_hears_of_a_change_once_it_is_committed(
    pushes, django_capture_on_commit_callbacks
):
    product = make_product(stock=5)

    with django_capture_on_commit_callbacks(execute=True) as callbacks:
        entry = change_stock(
            product_id=product.pk, quantity=2, operation=StockOperation.RESTOCK, reason="x"
        )

    assert len(callbacks) == 1
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


def test_a_refused_change_is_told_to_nobody(django_capture_on_commit_callbacks):
    product = make_product(stock=1)

    with (
        django_capture_on_commit_callbacks() as callbacks,
        pytest.raises(NotEnoughStock),
        transaction.atomic(),
    ):
        change_stock(product_id=product.pk, quantity=-2, operation=StockOperation.PURCHASE)

    assert callbacks == []
    assert Product.objects.get(pk=product.pk).stock == 1
