"""Pages by more than one key; the rest is tried on the ledger's own list."""

import pytest
from rest_framework.request import Request
from rest_framework.test import APIRequestFactory

from accounts.models import User
from ops.api.pagination import page
from ops.errors import ValidationFailed
from tests.people import make_person

pytestmark = pytest.mark.django_db


def request_with(**query):
    return Request(APIRequestFactory().get("/", query))


def walk(rows, ordering, size):
    cursor: str | None = ""
    seen: list[int] = []
    while cursor is not None:
        found, cursor = page(request_with(cursor=cursor, page_size=size), rows, ordering=ordering)
        seen += [row.pk for row in found]
    return seen


@pytest.mark.parametrize(
    "ordering",
    [
        ["status", "id"],
        ["-status", "id"],
        ["status", "-id"],
        ["-nickname", "-status", "id"],
        ["-created_at", "id"],
        ["created_at", "-id"],
        ["-is_premium", "id"],
    ],
)
@pytest.mark.parametrize("size", [1, 2, 3, 100])
def test_pages_follow_each_other_in_the_order_of_all(ordering, size):
    for number in range(8):
        make_person(
            status=["active", "banned", "inactive"][number % 3],
            nickname=["甲", "乙 %", "a"][number % 2],
            is_premium=number % 4 == 0,
        )
    User.objects.filter(pk__lt=User.objects.order_by("pk")[3].pk).update(
        created_at=User.objects.order_by("pk")[5].created_at
    )
    whole = [row.pk for row in User.objects.order_by(*ordering)]
    assert walk(User.objects.all(), ordering, size) == whole


def test_the_cursor_of_the_same_rows_in_another_order_is_refused():
    for _ in range(3):
        make_person()
    _rows, cursor = page(request_with(page_size=1), User.objects.all(), ordering=["-id"])
    with pytest.raises(ValidationFailed) as refusal:
        page(request_with(cursor=cursor), User.objects.all(), ordering=["id"])
    assert list(refusal.value.data) == ["cursor"]
