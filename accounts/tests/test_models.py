"""Facts of one row, and what the tables refuse."""

from datetime import UTC, datetime

import pytest
from django.db import IntegrityError
from django.utils import timezone

from accounts.models import (
    DeviceSession,
    PointsEntry,
    RegistrationMark,
    SignInCode,
    Tier,
    User,
)
from tests.people import make_person

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ({"nickname": "小王", "username": "x", "phone": "13800138001"}, "小王"),
        ({"nickname": "", "username": "admin", "phone": "13800138001"}, "admin"),
        ({"nickname": "", "phone": "13800138001"}, "138****8001"),
    ],
)
def test_people_are_called_by_what_is_known(fields, name):
    assert str(User(**fields)) == name


def test_a_person_of_whom_nothing_is_known_has_a_number():
    person = User.objects.create()
    assert str(person) == f"#{person.pk}"
    assert person.masked_phone is None


@pytest.mark.parametrize(("status", "is_active"), [("active", 1), ("inactive", 0), ("banned", 0)])
def test_only_active_people_are_active(status, is_active):
    assert make_person(status=status).is_active is bool(is_active)


def test_a_superuser_signs_in_with_a_password():
    person = User.objects.create_superuser("root", "s3cret-s3cret", nickname="R")
    person.refresh_from_db()
    assert person.check_password("s3cret-s3cret")
    assert (person.is_staff, person.is_superuser, person.nickname) == (True, True, "R")


@pytest.mark.parametrize("field", ["phone", "username", "wechat_openid", "wechat_unionid"])
def test_two_people_share_no_name_but_many_may_have_none(field):
    User.objects.create()
    User.objects.create()
    User.objects.create(**{field: "13800138001"})
    with pytest.raises(IntegrityError):
        User.objects.create(**{field: "13800138001"})


@pytest.mark.parametrize(
    ("fields", "constraint"),
    [({"status": "away"}, "user_status_known"), ({"total_points": -1}, "points")],
)
def test_the_database_refuses_a_wrong_person(fields, constraint):
    with pytest.raises(IntegrityError, match=constraint):
        User.objects.create(**fields)


def test_a_tier_never_lowers_what_a_receipt_gives():
    with pytest.raises(IntegrityError, match="tier_multiplier_at_least_one"):
        Tier.objects.create(name="x", threshold=0, multiplier="0.99")


def test_rows_read_well():
    moment = datetime(2026, 1, 31, 4, 5, tzinfo=UTC)
    code = SignInCode(phone="13800138001", created_at=moment)
    assert str(code) == "138****8001 2026-01-31 04:05"
    assert str(RegistrationMark(key_hash="a" * 64)) == "a" * 12
    assert str(Tier(name="gold")) == "gold"
    assert str(DeviceSession(user_id=5, device_info={"m": 1})) == "5 {'m': 1}"
    assert timezone.is_aware(moment)


def test_the_ledger_has_the_columns_that_its_hash_covers_and_no_other():
    """What a kind of entry needs beyond them stands in rows that `related_id` names."""
    columns = {field.attname for field in PointsEntry._meta.concrete_fields}
    assert columns == {"id", "entry_hash", *PointsEntry.hashed_fields}
