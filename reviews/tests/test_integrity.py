import pytest

from accounts.models import PointsSource
from catalog.tests.factories import make_shop
from ops.services import integrity
from reviews.models import Receipt
from reviews.services.review import Action, Decision, review
from reviews.services.reviewers import reviewer_for
from reviews.tests.factories import EPOCH, make_decided, make_receipt, make_reviewer, pay
from tests.people import give, make_person

pytestmark = pytest.mark.django_db


def findings():
    return [finding.object_id for finding in integrity.run("receipts")]


def approve(receipt, **fields):
    decision = Decision(upload_id=receipt.pk, action=Action.APPROVE, **fields)
    review(reviewer=reviewer_for(make_reviewer(receipt.shop)), decision=decision)
    return receipt


def test_what_the_services_do_is_found_sound():
    approve(make_receipt())
    approve(make_receipt(), points=0)
    make_receipt()
    make_decided("rejected")
    give(make_person(), 5)

    assert findings() == []


def test_an_approval_that_was_not_paid_is_found():
    receipt = make_decided(points=5)

    assert findings() == [f"receipt {receipt.pk}"]


def test_a_receipt_paid_twice_is_found():
    receipt = approve(make_receipt())
    pay(receipt, 1000)

    assert findings() == [f"entry {receipt.person_id}/{number}" for number in (1, 2)]


def test_a_payment_in_two_parts_is_found():
    receipt = make_decided(points=7)
    pay(receipt, 3)
    pay(receipt, 4)

    entries = [f"entry {receipt.person_id}/{number}" for number in (1, 2)]
    assert findings() == [*entries, f"receipt {receipt.pk}"]


@pytest.mark.parametrize("make", [make_receipt, lambda: make_decided("rejected")])
def test_a_payment_without_an_approval_is_found(make):
    receipt = make()
    pay(receipt, 9)

    assert findings() == [f"entry {receipt.person_id}/1"]


def test_a_payment_to_somebody_else_is_found():
    receipt, other = make_decided(points=9), make_person()
    pay(receipt, 9, person=other)

    assert set(findings()) == {f"receipt {receipt.pk}", f"entry {other.pk}/1"}


def test_a_payment_for_no_receipt_is_found():
    person = make_person()
    for related_id in ("999999", "nonsense"):
        give(person, 9, source=PointsSource.PHOTO_UPLOAD, related_id=related_id)

    assert findings() == [f"entry {person.pk}/{number}" for number in (1, 2)]


def test_one_receipt_paid_as_two_is_found():
    """Only possible without the constraint, or by hand."""
    shop = make_shop()
    receipts = [
        make_decided(shop=shop, receipt_number="A1", issued_at=EPOCH)
        if number == 0
        else make_receipt(shop=shop, receipt_number="A1", issued_at=EPOCH)
        for number in range(2)
    ]
    Receipt.objects.filter(pk=receipts[1].pk).update(
        status="approved", points_awarded=0, reviewer=make_person(), reviewed_at=EPOCH
    )

    assert findings() == [f"receipts {receipts[0].pk}, {receipts[1].pk}"]


def test_however_many_receipts_four_queries_compare_them(django_assert_num_queries):
    for _ in range(5):
        approve(make_receipt())

    with django_assert_num_queries(4):
        assert list(integrity.checks["receipts"].look()) == []
