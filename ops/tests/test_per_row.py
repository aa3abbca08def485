"""Other values for each row in one UPDATE."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounts.models import User
from ops.per_row import per_row
from tests.people import make_person

pytestmark = pytest.mark.django_db


def write(values):
    """Set nicknames; gives the statement."""
    with CaptureQueriesContext(connection) as captured:
        User.objects.filter(pk__in=values).update(nickname=per_row(values))
    (statement,) = captured
    return statement["sql"]


def test_each_row_gets_its_own_and_equal_ones_are_named_once():
    people = [make_person().pk for _number in range(5)]
    other = make_person()
    statement = write(dict(zip(people, ["a", "b", "a", "a", "c"], strict=True)))
    names = dict(User.objects.values_list("pk", "nickname"))
    assert [names[pk] for pk in people] == ["a", "b", "a", "a", "c"]
    assert names[other.pk] == other.nickname
    assert statement.count("WHEN") == 3


def test_one_value_for_all_asks_nothing():
    people = [make_person().pk for _number in range(3)]
    assert "CASE" not in write(dict.fromkeys(people, "same"))
    assert set(User.objects.values_list("nickname", flat=True)) == {"same"}
