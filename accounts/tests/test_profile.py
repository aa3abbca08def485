"""GET and PATCH /api/user/profile."""

from datetime import date

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounts.models import Tier
from accounts.tests.factories import sign_in
from tests.api import data_of, refusal_of
from tests.people import give, make_person

pytestmark = pytest.mark.django_db

FIELDS = {
    "user_id", "mobile", "nickname", "avatar", "total_points", "points_version", "is_merchant",
    "is_premium", "tier", "status", "email", "premium_until", "created_at", "last_login",
    "login_count", "lifetime_points", "uploads_left_today", "next_tier",
}  # fmt: skip


def test_the_profile_has_exactly_the_fields_of_the_contract(api):
    person = sign_in(api, make_person(phone="13800138001", premium_until=date(2999, 1, 1))).person
    profile = data_of(api.get("/api/user/profile"))
    assert set(profile) == FIELDS
    assert profile["user_id"] == person.pk
    assert profile["mobile"] == "138****8001"
    assert profile["is_premium"] is True
    assert profile["premium_until"] == "2999-01-01"
    assert profile["email"] is None
    assert profile["login_count"] == 1
    assert profile["created_at"].endswith("+08:00")
    assert profile["last_login"].endswith("+08:00")
    assert isinstance(profile["uploads_left_today"], int)
    assert profile["next_tier"] is None


def test_a_person_without_a_phone_has_no_mobile(api):
    person = sign_in(api).person
    person.phone = None
    person.save()
    assert data_of(api.get("/api/user/profile"))["mobile"] is None


def test_the_next_tier_says_what_is_missing(api):
    person = sign_in(api).person
    Tier.objects.create(name="gold", threshold=900, multiplier=2)
    Tier.objects.create(name="silver", threshold=500, multiplier="1.5")
    give(person, 501, source="photo_upload", related_id="1")
    give(person, 1000)  # an adjustment counts for the balance alone
    profile = data_of(api.get("/api/user/profile"))
    assert profile["tier"] == "silver"
    assert profile["lifetime_points"] == 501
    assert profile["total_points"] == 1501
    assert profile["next_tier"] == {"name": "gold", "missing_points": 399}


def test_the_nickname_can_be_changed_and_nothing_else(api):
    person = sign_in(api).person
    answer = data_of(
        api.patch(
            "/api/user/profile",
            {"nickname": "  小 王🎲 ", "total_points": 5, "phone": "13800138009", "is_staff": True},
        )
    )
    assert answer["nickname"] == "小 王🎲"
    before = person.phone
    person.refresh_from_db()
    assert person.nickname == "小 王🎲"
    assert (person.phone, person.is_staff, person.total_points) == (before, False, 0)


def test_who_wants_nothing_changed_gets_the_profile_as_it_is(api):
    sign_in(api)
    assert data_of(api.patch("/api/user/profile", {})) == data_of(api.get("/api/user/profile"))


@pytest.mark.parametrize(
    "body",
    [{"nickname": None}, {"nickname": ""}, {"nickname": "   "}, {"nickname": "x" * 41},
     {"nickname": 5}, {"nickname": ["x"]}, {"nickname": "a\u0000b"}],
    ids=ascii,
)  # fmt: skip
def test_a_nickname_that_is_none_is_1011_and_changes_nothing(api, body):
    person = sign_in(api).person
    refusal = refusal_of(api.patch("/api/user/profile", body, format="json"))
    assert (refusal.status, refusal.code, list(refusal.data)) == (400, 1011, ["nickname"])
    assert all(isinstance(reason, str) for reason in refusal.data["nickname"])
    nickname = person.nickname
    person.refresh_from_db()
    assert person.nickname == nickname


def test_the_profile_costs_a_fixed_number_of_queries(api):
    sign_in(api)

    def queries():
        with CaptureQueriesContext(connection) as captured:
            data_of(api.get("/api/user/profile"))
        return len(captured)

    before = queries()
    for number in range(5):
        Tier.objects.create(name=str(number), threshold=number, multiplier=1)
    assert queries() == before <= 6
