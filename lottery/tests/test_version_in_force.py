"""The version in force, kept in memory for draws: while no wheel changes."""

import pytest
from django.db import transaction
from django.http import HttpRequest

from lottery.models import WheelStatus
from lottery.services import publishing, wheels
from lottery.services.draws import draw
from ops.errors import NotFound
from ops.request_context import serving
from ops.services import freshness
from ops.services.kept import memory

pytestmark = pytest.mark.django_db(transaction=True)


def in_force(wheel_id=None):
    """As a request finds it that heard of changes before its transaction."""
    with serving(HttpRequest()):
        freshness.current("lottery")
        with transaction.atomic():
            return wheels.version_in_force(wheel_id, default_wheel=wheel_id is None)


def test_a_transaction_asks_no_statement_for_it(wheel, django_assert_num_queries):
    first = in_force(wheel.pk)
    with serving(HttpRequest()):
        freshness.current("lottery")
        with transaction.atomic(), django_assert_num_queries(0):
            assert wheels.version_in_force(wheel.pk) is first
            assert first.wheel.shop_id == wheel.shop_id
            assert len(first.sheet.prizes) == 8


def test_a_change_of_any_wheel_is_seen_by_the_next_request(wheel):
    assert [in_force(wheel.pk).number, in_force().number] == [1, 1]
    publishing.publish(wheel_id=wheel.pk)
    assert [in_force(wheel.pk).number, in_force().number] == [2, 2]
    wheels.change_status(wheel_id=wheel.pk, status=WheelStatus.PAUSED)
    assert in_force(wheel.pk).wheel.status == "paused"


def test_a_draw_changes_no_wheel(wheel, person):
    first = in_force(wheel.pk)
    draw(person_id=person.pk, wheel_id=wheel.pk, count=10)
    assert in_force(wheel.pk) is first


def test_that_there_is_none_is_not_kept(wheel):
    for _time in range(2):
        with pytest.raises(NotFound):
            in_force(10**9)
    assert memory.size == 0


def test_it_counts_with_its_prizes(wheel):
    in_force(wheel.pk)
    assert memory.size > 8 * 2_000
