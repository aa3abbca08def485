from datetime import timedelta
from decimal import Decimal

import pytest
from django.utils import timezone, translation

from catalog.tests.factories import make_shop
from reviews import risk
from reviews.models import ProcessStatus
from reviews.tests.factories import make_decided, make_receipt
from tests.people import make_person

pytestmark = pytest.mark.django_db

NOW = timezone.now()


def codes_for(receipt):
    return [reason.code for reason in reasons_for(receipt)]


def reasons_for(receipt):
    return risk.assess(receipt, receipt.process_records.get(), now=NOW)


def make_issued_now(**fields):
    return make_receipt(**{"issued_at": NOW, **fields})


def test_an_ordinary_receipt_has_no_risk():
    receipt = make_issued_now()

    assert reasons_for(receipt) == []
    assert risk.score([]) == 0


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"input_amount": Decimal("100.01")}, ["amount_above_read"]),
        ({"input_amount": Decimal("99.99")}, ["amount_below_read"]),
        ({"confidence": Decimal("0.6999")}, ["low_confidence"]),
        ({"confidence": Decimal("0.7000")}, []),
        ({"recognized_amount": None}, ["nothing_read"]),
        ({"issued_at": NOW + timedelta(minutes=59)}, []),
        ({"issued_at": NOW + timedelta(minutes=61)}, ["future_date"]),
        ({"issued_at": NOW - timedelta(days=29)}, []),
        ({"issued_at": NOW - timedelta(days=31)}, ["old_date"]),
        ({"issued_at": None}, []),
        ({"submission": 2}, ["submitted_again"]),
        (
            {"input_amount": Decimal(500), "confidence": Decimal("0.1"), "submission": 2},
            ["amount_above_read", "low_confidence", "submitted_again"],
        ),
    ],
)
def test_what_the_slip_says_is_held_against_what_was_entered(fields, expected):
    assert codes_for(make_issued_now(**fields)) == expected


def test_a_failed_reading_is_a_reason():
    receipt = make_receipt(read=False, process=ProcessStatus.FAILED)

    assert codes_for(receipt) == ["reading_failed"]


def test_the_same_receipt_seen_before_is_a_reason():
    earlier = make_issued_now(receipt_number="A1")
    receipt = make_issued_now(receipt_number="A1", shop=earlier.shop)

    (reason,) = reasons_for(receipt)

    assert (reason.code, reason.facts) == ("seen_before", {"upload_id": earlier.pk})


def test_the_same_receipt_paid_before_is_a_reason():
    make_issued_now(receipt_number="A1", shop=(shop := make_shop()))
    paid = make_decided(receipt_number="A1", shop=shop, issued_at=NOW)
    receipt = make_issued_now(receipt_number="A1", shop=shop)

    (reason,) = reasons_for(receipt)

    assert (reason.code, reason.facts) == ("already_paid", {"upload_id": paid.pk})


@pytest.mark.parametrize("missing", ["receipt_number", "issued_at", "recognized_amount"])
def test_without_all_of_it_two_receipts_are_not_the_same(missing):
    fields = {missing: "" if missing == "receipt_number" else None}
    earlier = make_issued_now(**{"receipt_number": "A1", **fields})
    receipt = make_issued_now(**{"receipt_number": "A1", "shop": earlier.shop, **fields})

    assert "seen_before" not in codes_for(receipt)


def test_the_same_number_at_another_shop_is_another_receipt():
    make_issued_now(receipt_number="A1")

    assert codes_for(make_issued_now(receipt_number="A1")) == []


HASH = "0" * 64
NEAR = "0" * 61 + "fff"  # 12 bits
FAR = "0" * 60 + "1fff"


@pytest.mark.parametrize(("other", "expected"), [(NEAR, ["similar_picture"]), (FAR, [])])
def test_only_similar_pictures_of_one_shop_are_a_reason(other, expected):
    earlier = make_issued_now(difference_hash=other)
    receipt = make_issued_now(difference_hash=HASH, shop=earlier.shop)

    found = reasons_for(receipt)

    assert [reason.code for reason in found] == expected
    assert [reason.facts for reason in found] == [{"upload_id": earlier.pk}] * len(expected)


def test_another_shops_picture_is_not_named():
    person = make_person()
    make_issued_now(difference_hash=NEAR, person=person)
    receipt = make_issued_now(difference_hash=HASH, person=person)

    (reason,) = reasons_for(receipt)

    assert (reason.code, reason.facts) == ("similar_picture_elsewhere", {})


def test_strangers_elsewhere_and_old_pictures_are_not_compared():
    make_issued_now(difference_hash=HASH)
    old = make_issued_now(difference_hash=HASH, created_at=NOW - timedelta(days=31))

    assert codes_for(make_issued_now(difference_hash=HASH, shop=old.shop)) == []


def test_the_same_file_again_is_not_called_similar():
    earlier = make_issued_now(difference_hash=HASH, sha256="e" * 64)
    receipt = make_issued_now(
        difference_hash=HASH, sha256="e" * 64, submission=2, shop=earlier.shop
    )

    assert codes_for(receipt) == ["submitted_again"]


def test_the_score_has_a_ceiling():
    heavy = [risk.Reason("already_paid", {"upload_id": 1}), risk.Reason("future_date")]

    assert risk.score(heavy[1:]) == 40
    assert risk.score(heavy) == 100


def test_every_reason_has_a_text_that_its_facts_fill():
    facts = {"upload_id": 7, "entered": "2.00", "read": "1.00", "days": 30}
    with translation.override("en"):
        for code in risk.REASONS:
            text = risk.Reason(code, facts).text
            assert text
            assert "%" not in text
        assert risk.Reason("seen_before", facts).text.endswith("upload 7.")


@pytest.mark.parametrize(
    ("kept", "text"),
    [
        ({"code": "seen_before", "facts": {}}, "are on upload …."),
        ({"code": "seen_before"}, "are on upload …."),
        ({"code": "amount_above_read", "facts": {"read": "1.00"}}, "…, but 1.00 was read."),
        ({"code": "of_an_earlier_release", "facts": {"upload_id": 7}}, "of_an_earlier_release"),
    ],
)
def test_of_a_reason_that_an_earlier_release_kept_what_is_known_is_said(kept, text):
    receipt = make_issued_now(risk_reasons=[kept])

    with translation.override("en"):
        (reason,) = risk.stored_reasons(receipt.risk_reasons)
        assert reason.text.endswith(text)


def test_reasons_survive_the_database():
    receipt = make_issued_now()
    reason = risk.Reason("seen_before", {"upload_id": 7})
    receipt.risk_reasons = [reason.stored()]
    receipt.save(update_fields=["risk_reasons"])
    receipt.refresh_from_db()

    assert risk.stored_reasons(receipt.risk_reasons) == [reason]
