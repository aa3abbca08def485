"""The large data set of the benchmarks is an honest one."""

import pytest

from accounts.models import PointsEntry, User
from bench import large_set
from bench.bulk import rows_of
from bench.honest_rows import fill
from catalog.models import Order, OrderStatus, Product
from favorites.models import Favorite
from lottery.models import Draw
from ops.services import integrity
from reviews.models import Receipt, ReceiptStatus

pytestmark = pytest.mark.django_db


def findings():
    return [one for name in integrity.checks.names() for one in integrity.run(name)]


# --- The large set ------------------------------------------------------------------------------
# All that stands around the rows: constraints, indexes, triggers, and that no table forgets.
AROUND = """
    SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) || convalidated
    FROM pg_constraint WHERE connamespace = current_schema()::regnamespace
    UNION ALL
    SELECT indrelid::regclass::text, indexrelid::regclass::text,
        pg_get_indexdef(indexrelid) || indisvalid
    FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid
    WHERE relnamespace = current_schema()::regnamespace
    UNION ALL
    SELECT tgrelid::regclass::text, tgname, tgenabled::text || pg_get_triggerdef(oid)
    FROM pg_trigger WHERE NOT tgisinternal
    UNION ALL
    SELECT relname, relkind::text, relpersistence::text FROM pg_class
    WHERE relnamespace = current_schema()::regnamespace
    ORDER BY 1, 2, 3
"""


@pytest.mark.postgresql
def test_the_large_set_is_honest_and_leaves_everything_around_it_as_it_was():
    before = rows_of(AROUND)
    large_set.fill(people=120, products=90)
    assert rows_of(AROUND) == before
    assert findings() == []
    people = User.objects.filter(points_version__gt=0)
    assert people.count() == 120 + large_set.SHOPS * large_set.STAFF_OF_A_SHOP
    assert Product.objects.count() == 90
    assert set(Receipt.objects.values_list("status", flat=True)) == set(ReceiptStatus.values)
    assert Receipt.objects.count() == 120
    assert Draw.objects.filter(is_pity=True).exists()
    assert PointsEntry.objects.count() > 9 * 60
    assert {OrderStatus.PENDING, OrderStatus.REDEEMED} <= set(
        Order.objects.values_list("status", flat=True)
    )
    regular = Favorite.objects.filter(person=1).count()
    assert regular > Favorite.objects.filter(person=50).count()


@pytest.mark.postgresql
def test_rows_that_come_later_get_ids_of_their_own():
    large_set.fill(people=20, products=80)
    newest = Order.objects.latest("pk")
    # So many that one of them wins something to take home, whatever seeds chance gives.
    fill(people=1, draws_each=400)
    assert User.objects.latest("pk").pk > 20 + large_set.SHOPS * large_set.STAFF_OF_A_SHOP
    assert Order.objects.filter(pk__gt=newest.pk).exists()
    assert findings() == []


@pytest.mark.postgresql
def test_a_database_with_people_is_left_alone():
    User.objects.create(phone="13800138000")
    with pytest.raises(large_set.NotEmpty):
        large_set.fill(people=20, products=80)
    assert User.objects.count() == 1
    assert not Product.objects.exists()
