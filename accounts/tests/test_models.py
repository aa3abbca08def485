"""Facts of one row, and what the tables refuse."""

from datetime import UTC, datetime
from importlib import import_module

import pytest
from django.apps import apps
from django.core.exceptions import ValidationError
from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from accounts.models import (
    AccountMerge,
    DeviceSession,
    PointsEntry,
    RegistrationMark,
    SignInCode,
    SignInLimit,
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
    User.objects.create(**{field: "a13800138001"})
    with pytest.raises(IntegrityError, match=r"(?i)unique"):
        User.objects.create(**{field: "a13800138001"})


@pytest.mark.parametrize("name", ["13800138001", "+86 138-0013-8001", "007", "(028) 1", ""])
def test_no_user_name_can_be_a_phone_number(name):
    with pytest.raises(IntegrityError, match="user_name_is_no_number"), transaction.atomic():
        User.objects.create(username=name)
    with pytest.raises(ValidationError) as refusal:
        User(username=name).clean()
    assert list(refusal.value.message_dict) == ["username"]
    with pytest.raises(ValidationError):
        User.objects.create_superuser(name, "s3cret-s3cret")
    assert not User.objects.exists()


@pytest.mark.parametrize("name", ["wang", "王老板", "w13800138001", "1号店"])
def test_other_user_names_are_taken(name):
    assert User.objects.create_superuser(name, "s3cret-s3cret").username == name


def test_people_are_found_by_user_name_or_whole_phone_number():
    person = make_person(phone="13800138001", username="wang")
    for typed in ("wang", " wang ", "13800138001", "138 0013-8001", "１３８００１３８００１"):
        assert User.objects.by_login_name(typed) == person, typed
    for typed in ("Wang", "8001", "1380013800", "", "138001380011"):
        assert User.objects.by_login_name(typed) is None, typed


@pytest.mark.postgresql
def test_numbers_of_before_become_names():
    (rule,) = [one for one in User._meta.constraints if one.name == "user_name_is_no_number"]
    with connection.schema_editor() as editor:
        editor.remove_constraint(User, rule)
    own = make_person(phone="13800138001", username="13800138001")
    taken = make_person(phone="13800138002", username="13800138003")
    empty, named = make_person(username=""), make_person(username="wang")

    import_module("accounts.migrations.0012_names_are_no_numbers").rename(apps, None)

    names = [User.objects.get(pk=one.pk).username for one in (own, taken, empty, named)]
    assert names == [None, "name-13800138003", None, "wang"]


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
    limit = SignInLimit(purpose="address", key_hash="a" * 64, failures=2)
    assert str(limit) == "address aaaaaaaaaaaa: 2"
    assert str(DeviceSession(user_id=5, device_info={"m": 1})) == "5 {'m': 1}"
    assert str(AccountMerge(merged_id=5, survivor_id=7)) == "#5 → #7"
    assert timezone.is_aware(moment)


def test_the_ledger_has_the_columns_that_its_hash_covers_and_no_other():
    """What a kind of entry needs beyond them stands in rows that `related_id` names."""
    columns = {field.attname for field in PointsEntry._meta.concrete_fields}
    assert columns == {"id", "entry_hash", *PointsEntry.hashed_fields}
