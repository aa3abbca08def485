"""Deleting what is no longer kept."""

from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone

from ops.models import IdempotencyRecord
from ops.services.purge import purge

pytestmark = pytest.mark.django_db


def make_records(count):
    now = timezone.now()
    return [
        IdempotencyRecord.objects.create(
            owner_id=1, path="/", key=str(number), created_at=now - timedelta(hours=number)
        ).pk
        for number in range(count)
    ]


def keys_left():
    return set(IdempotencyRecord.objects.values_list("key", flat=True))


def test_a_batch_at_a_time_goes_in_the_order_of_the_query():
    make_records(5)
    oldest = IdempotencyRecord.objects.exclude(key="0").order_by("created_at")
    assert purge(oldest, batch_size=3) == 3
    assert keys_left() == {"0", "1"}
    assert [purge(oldest, batch_size=3) for _ in range(2)] == [1, 0]
    assert keys_left() == {"0"}


def test_a_row_that_is_used_anew_meanwhile_is_kept():
    make_records(2)
    now = timezone.now()
    old = IdempotencyRecord.objects.filter(created_at__lte=now - timedelta(minutes=30))
    renewed: list[int] = []

    def renew_before_it_is_deleted(execute, sql, params, many, context):
        if not renewed and sql.startswith("DELETE"):
            renewed.append(IdempotencyRecord.objects.filter(key="1").update(created_at=now))
        return execute(sql, params, many, context)

    with connection.execute_wrapper(renew_before_it_is_deleted):
        assert purge(old, batch_size=10) == 0
    assert renewed == [1]
    assert keys_left() == {"0", "1"}


def test_what_another_machine_deleted_meanwhile_is_not_counted_twice():
    make_records(3)
    rows = IdempotencyRecord.objects.all()
    elsewhere: list[int | None] = []

    def purge_first(execute, sql, params, many, context):
        if not elsewhere and sql.startswith("DELETE"):
            elsewhere.append(None)
            elsewhere[0] = purge(rows.order_by("pk"), batch_size=2)
        return execute(sql, params, many, context)

    with connection.execute_wrapper(purge_first):
        assert purge(rows.order_by("pk"), batch_size=3) == 1
    assert elsewhere == [2]
    assert keys_left() == set()


def test_nothing_to_delete_takes_one_query(django_assert_num_queries):
    with django_assert_num_queries(1):
        assert purge(IdempotencyRecord.objects.all(), batch_size=3) == 0
