"""Kinds of entries that go one way alone: the list of points counts on it."""

import pytest

from accounts.models import OFTEN_EARNED, OFTEN_SPENT, PointsEntry
from catalog.services import orders
from catalog.tests.factories import make_order
from lottery.services.draws import draw
from lottery.tests.factories import make_wheel, points_prize
from reviews.services import review
from reviews.services.reviewers import reviewer_for
from reviews.tests.factories import make_receipt, make_reviewer
from tests.people import make_person

pytestmark = pytest.mark.django_db


def test_what_is_written_goes_the_way_of_its_kind():
    person = make_person(points=10_000)
    draw(person_id=person.pk, wheel_id=make_wheel(points_prize(probability=1)).pk, count=10)
    order = make_order(person=person)
    orders.cancel(person_id=person.pk, order_id=order.pk)
    receipt = make_receipt(person=person)
    approval = review.Decision(upload_id=receipt.pk, action=review.Action.APPROVE)
    review.review(reviewer=reviewer_for(make_reviewer(receipt.shop)), decision=approval)

    written = PointsEntry.objects.filter(user=person).values_list("source", "points")
    assert {source for source, points in written if points > 0} == {
        *["register", "cancel"],
        *OFTEN_EARNED,
    }
    assert {source for source, points in written if points < 0} == {*OFTEN_SPENT}
