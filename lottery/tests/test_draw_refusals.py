"""What a draw refuses, leaving everything as it was; and what it costs the database."""

from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.models import PointsSource
from accounts.services.points import change_points
from catalog.tests.factories import make_product
from lottery.errors import DailyLimitReached, NotEnoughPointsToDraw, WheelNotOpen
from lottery.models import WheelStatus
from lottery.services import publishing
from lottery.services.draws import draw
from lottery.tests.factories import draw_once, goods_prize, make_draft, make_wheel, points_prize
from lottery.tests.tables import everything
from ops.days import start_of_day
from ops.errors import NotFound
from tests.people import make_person

pytestmark = pytest.mark.django_db


def refused_unchanged(refusal, person, wheel_id, count=1):
    """The refusal of a draw; it leaves everything as it was."""
    before = everything()
    with pytest.raises(refusal) as refused:
        draw(person_id=person.pk, wheel_id=wheel_id, count=count)
    assert everything() == before
    return refused.value


# --- Refusals ---------------------------------------------------------------------------------
def test_a_wheel_that_is_not_there_or_was_never_published_draws_nothing():
    person, draft = make_person(points=1000), make_draft()
    refused_unchanged(NotFound, person, 0)
    refused_unchanged(NotFound, person, draft.pk)  # never published
    refused_unchanged(NotFound, person, None)  # no default


@pytest.mark.parametrize(
    "closed",
    [
        {"status": WheelStatus.INACTIVE},
        {"status": WheelStatus.PAUSED},
        {"opens_at": timezone.now() + timedelta(hours=1)},
        {"closes_at": timezone.now() - timedelta(seconds=1)},
    ],
)
def test_a_wheel_that_is_not_open_draws_nothing(closed):
    person, wheel = make_person(points=1000), make_wheel(daily_limit=1, **closed)
    refused_unchanged(WheelNotOpen, person, wheel.pk, 10)


def test_within_its_window_it_is_open():
    now = timezone.now()
    wheel = make_wheel(opens_at=now - timedelta(hours=1), closes_at=now + timedelta(hours=1))
    assert draw_once(make_person(points=100), wheel)


def test_the_daily_limit_is_per_person_and_wheel():
    person, other = make_person(points=2000), make_person(points=2000)
    wheel = make_wheel(daily_limit=5)
    assert draw(person_id=person.pk, wheel_id=wheel.pk, count=3).remaining_today == 2

    refusal = refused_unchanged(DailyLimitReached, person, wheel.pk, 3)

    midnight = timezone.localtime() + timedelta(days=1)
    assert refusal.data == {
        "limit": 5,
        "used": 3,
        "resets_at": midnight.strftime("%Y-%m-%dT00:00:00+08:00"),
    }
    assert draw(person_id=person.pk, wheel_id=wheel.pk, count=2).remaining_today == 0
    assert draw(person_id=other.pk, wheel_id=wheel.pk, count=5).remaining_today == 0
    elsewhere = make_wheel(daily_limit=6)
    assert draw(person_id=person.pk, wheel_id=elsewhere.pk, count=5).remaining_today == 1


def test_the_daily_limit_comes_before_the_points():
    refused_unchanged(DailyLimitReached, make_person(), make_wheel(daily_limit=1).pk, 2)


def test_a_day_begins_at_midnight_of_the_deployment(settings):
    settings.TIME_ZONE = "Asia/Shanghai"
    moment = datetime(2026, 3, 1, 16, 30, tzinfo=UTC)  # half past midnight in Shanghai
    assert start_of_day(moment) == datetime(2026, 3, 1, 16, 0, tzinfo=UTC)
    assert start_of_day(moment, days_later=1) == datetime(2026, 3, 2, 16, 0, tzinfo=UTC)
    assert start_of_day(moment - timedelta(hours=1)) == datetime(2026, 2, 28, 16, 0, tzinfo=UTC)


def test_the_balance_has_to_cover_all_draws_before_the_first():
    """Even where the prizes of the first ones would pay for the last."""
    person = make_person(points=299)
    wheel = make_wheel(points_prize("500", probability=1))

    refusal = refused_unchanged(NotEnoughPointsToDraw, person, wheel.pk, 3)

    assert refusal.data == {"required": 300, "current": 299, "shortage": 1}
    assert draw(person_id=person.pk, wheel_id=wheel.pk, count=2).total_points == 1099


def test_a_refusal_leaves_scarce_prizes_alone():
    person, product = make_person(points=99), make_product(stock=1)
    stocked = make_wheel(goods_prize(product, probability=1, is_pity_prize=True))
    counted = make_wheel(points_prize(probability=1, quantity=1))
    refused_unchanged(NotEnoughPointsToDraw, person, stocked.pk)
    refused_unchanged(NotEnoughPointsToDraw, person, counted.pk)


# --- Queries ----------------------------------------------------------------------------------
def count_queries(person, wheel, count):
    with CaptureQueriesContext(connection) as captured:
        draw(person_id=person.pk, wheel_id=wheel.pk, count=count)
    return len([one for one in captured if "SAVEPOINT" not in one["sql"]])


def test_the_statements_of_a_draw_do_not_depend_on_history():
    person = make_person(points=100_000)
    wheel = make_wheel(daily_limit=1000)
    draw_once(person, wheel)

    # version, seeds, pity and today's draws, person; draw, nonce, pity; ledger: entry, balance
    assert count_queries(person, wheel, 1) == 9
    draw(person_id=person.pk, wheel_id=wheel.pk, count=10)
    for _again in range(3):
        change_points(person_id=person.pk, points=1, source=PointsSource.ADJUST)
    publishing.publish(wheel_id=wheel.pk)
    assert count_queries(person, wheel, 1) == 9
    assert count_queries(person, wheel, 10) == 9


def test_scarce_prizes_are_locked_at_once():
    person, product = make_person(points=100_000), make_product(stock=100)
    wheel = make_wheel(
        points_prize("1", probability="0.5", quantity=1000),
        goods_prize(product, probability="0.5", daily_cap=1000),
    )
    draw(person_id=person.pk, wheel_id=wheel.pk, count=10)

    with CaptureQueriesContext(connection) as captured:
        draw(person_id=person.pk, wheel_id=wheel.pk, count=10)

    reads = [one["sql"] for one in captured if one["sql"].startswith("SELECT")]
    tables = [sql.partition(" FROM ")[2].split()[0].strip('"') for sql in reads]
    scarce = ["lottery_prize", "catalog_product", "accounts_user"]
    assert [table for table in tables if table in scarce][:3] == scarce
    assert tables.count("lottery_prize") == 1
