"""The hash of an entry is the same in Python and in SQL, whatever the entry says."""

import json
from datetime import UTC, datetime

import pytest

from accounts.models import PointsEntry
from catalog.models import StockEntry
from catalog.tests.factories import make_product
from ops.chain import GENESIS_HASH
from ops.models import AuditActor, AuditEntry
from tests.people import make_person

pytestmark = pytest.mark.django_db

TEXTS = [
    "",
    " ",
    'a "quoted" one',
    "back\\slash \\n \\u0041",
    "line\nfeed\r\ttab\b\f",
    "\x01\x02\x1f\x7f",
    "</script>&'",
    "字 é e\u0301 \u2028 \u00a0",
    "🎡",
    "%s %(x)s {x}",
]
MOMENTS = [
    datetime(2026, 1, 31, 4, 5, 6, 7, tzinfo=UTC),
    datetime(2026, 1, 31, 4, 5, 6, tzinfo=UTC),
    datetime(2026, 12, 31, 23, 59, 59, 999999, tzinfo=UTC),
    datetime(2026, 1, 31, 4, 5, 6, 100000, tzinfo=UTC),
]


def in_sql(entry):
    model = type(entry)
    return model.objects.annotate(due=model.hash_in_sql()).get(pk=entry.pk).due


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("text", TEXTS)
def test_a_points_entry_has_one_hash(text, moment):
    entry = PointsEntry.objects.create(
        user=make_person(),
        sequence=1,
        points=-(2**40),
        source="adjust",
        related_id=text,
        balance_after=0,
        previous_hash=GENESIS_HASH,
        entry_hash="",
        created_at=moment,
    )
    assert in_sql(entry) == entry.computed_hash()


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("has_author", [True, False])
def test_a_stock_entry_has_one_hash_with_and_without_its_author(text, has_author):
    entry = StockEntry.objects.create(
        product=make_product(stock=0),
        author=make_person() if has_author else None,
        sequence=1,
        quantity=5,
        operation="restock",
        stock_after=5,
        reason=text,
        previous_hash=GENESIS_HASH,
        entry_hash="",
        created_at=MOMENTS[0],
    )
    assert in_sql(entry) == entry.computed_hash()


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("shop_id", [None, 2**40])
def test_an_audit_entry_has_one_hash(text, moment, shop_id):
    entry = AuditEntry.objects.create(
        chain=AuditActor.objects.create(system_user="a@b"),
        system_user="a@b",
        sequence=1,
        action="a.b",
        object_type="c.d",
        object_id="1",
        shop_id=shop_id,
        before=json.dumps({"text": text}, ensure_ascii=False),
        after="{}",
        reason=text,
        previous_hash=GENESIS_HASH,
        entry_hash="",
        created_at=moment,
    )
    assert in_sql(entry) == entry.computed_hash()
