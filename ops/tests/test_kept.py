"""What is kept in memory: while nothing of its topic changed, and within so many bytes."""

from functools import partial

import pytest
from django.db import transaction
from django.http import HttpRequest

from catalog.models import Shop
from catalog.tests.factories import make_shop
from lottery.tests.factories import make_wheel
from ops.models import FilePurpose
from ops.request_context import serving
from ops.services import files
from ops.services.kept import OF_AN_ENTRY, Memory, do_not_keep, kept, memory

pytestmark = pytest.mark.django_db(transaction=True)


class Built:
    """Builds the names of the shops, and counts how often."""

    def __init__(self):
        self.times = 0

    def __call__(self):
        self.times += 1
        return sorted(Shop.objects.values_list("name", flat=True))


@pytest.fixture
def build():
    return Built()


@pytest.fixture(autouse=True)
def shop():
    return make_shop(name="A")


def names(build, key="names"):
    return kept("catalog", key, build, size=len)


def test_it_is_built_once_as_long_as_nothing_changes(build, django_assert_num_queries):
    first = names(build)
    with django_assert_num_queries(1):
        assert names(build) is first
    make_wheel()
    assert names(build) is first
    assert build.times == 1


def test_a_change_is_seen_at_once(build):
    assert names(build) == ["A"]
    make_shop(name="B")
    assert names(build) == ["A", "B"]
    Shop.objects.filter(name="A").update(name="C")
    assert names(build) == ["B", "C"]


def test_each_key_has_a_value_of_its_own(build):
    assert names(build, "one") is not names(build, "two")
    assert build.times == 2


def test_what_a_build_raises_is_raised_and_nothing_is_kept(build):
    def refuse():
        build()
        raise ZeroDivisionError

    for _time in range(2):
        with pytest.raises(ZeroDivisionError):
            names(refuse)
    assert build.times == 2
    assert memory.size == 0


# --- Transactions ---------------------------------------------------------------------------------
def test_a_transaction_that_asked_nothing_before_keeps_nothing_and_gets_nothing(build):
    names(build)
    with transaction.atomic():
        make_shop(name="B")
        assert names(build) == ["A", "B"]
        transaction.set_rollback(True)
    assert names(build) == ["A"]
    assert build.times == 2


def test_what_a_transaction_changed_itself_is_not_kept(build):
    with serving(HttpRequest()):
        kept("catalog", "other", lambda: 1, size=int)
        with transaction.atomic():
            make_shop(name="B")
            assert names(build) == ["A", "B"]
            transaction.set_rollback(True)
        assert names(build) == ["A"]


def test_a_transaction_keeps_what_it_read_of_a_topic_that_it_does_not_change(
    build, django_assert_num_queries
):
    with serving(HttpRequest()):
        kept("catalog", "other", lambda: 1, size=int)
        with transaction.atomic(), django_assert_num_queries(2):
            first = names(build)  # reads the names, and asks whether they still are
            assert names(build) is first
    with serving(HttpRequest()):
        assert names(build) is first


def test_what_somebody_changed_while_it_was_built_is_not_taken_for_new(build):
    def change_and_build():
        read_before = build()
        make_shop(name="B")
        return read_before

    assert names(change_and_build) == ["A"]
    assert names(build) == ["A", "B"]


# --- What ends by itself --------------------------------------------------------------------------
def test_what_ends_by_itself_is_not_kept(build):
    def build_passing():
        do_not_keep()
        return build()

    assert names(build_passing) == names(build_passing)
    assert build.times == 2
    assert memory.size == 0
    assert names(build) is names(build)


def test_what_has_a_part_that_ends_by_itself_is_not_kept(build):
    def build_part():
        do_not_keep()
        return build()

    whole = partial(names, build_part, "part")
    assert names(whole, "whole") is not names(whole, "whole")
    assert memory.size == 0
    lasting = partial(names, build, "lasting part")
    assert names(lasting, "lasting") is names(lasting, "lasting")


def test_an_address_that_expires_is_not_kept():
    file = files.store(content=b"x", purpose=FilePurpose.PRODUCT, media_type="image/png")
    kept("catalog", "address", lambda: files.signed_path(file.pk), size=len)
    assert memory.size == 0


# --- Bytes ----------------------------------------------------------------------------------------
@pytest.fixture
def room(settings):
    """Room for three entries of a thousand bytes."""
    settings.KEPT_ANSWERS_BYTES = 3 * (1000 + OF_AN_ENTRY)
    return Memory()


def put(room, *keys, topic="catalog", generation=1, size=1000):
    for key in keys:
        room.put(topic, generation, key, value=key, size=size)


def found(room, *keys, topic="catalog", generation=1):
    return [key for key in keys if room.get(topic, generation, key) == key]


def test_the_ones_asked_for_longest_ago_go_first(room):
    put(room, "a", "b", "c")
    assert found(room, "a") == ["a"]
    put(room, "d", topic="lottery")
    assert found(room, "a", "b", "c") == ["a", "c"]
    assert found(room, "d", topic="lottery") == ["d"]
    put(room, "e", size=2 * (1000 + OF_AN_ENTRY) - OF_AN_ENTRY)
    assert found(room, "a", "c", "e") == ["e"]
    assert found(room, "d", topic="lottery") == ["d"]
    assert room.size == 3 * (1000 + OF_AN_ENTRY)


def test_what_is_larger_than_all_room_is_not_kept(room):
    put(room, "a")
    put(room, "b", size=3 * (1000 + OF_AN_ENTRY))
    assert found(room, "a", "b") == ["a"]


def test_no_room_keeps_nothing(room, settings):
    settings.KEPT_ANSWERS_BYTES = 0
    put(room, "a", size=0)
    assert (found(room, "a"), room.size) == ([], 0)


def test_the_same_key_again_takes_the_place_of_the_first(room):
    put(room, "a", "a", "b", "c")
    assert found(room, "a", "b", "c") == ["a", "b", "c"]
    assert room.size == 3 * (1000 + OF_AN_ENTRY)


def test_a_new_generation_makes_room_at_once(room):
    put(room, "a", "b")
    put(room, "c", topic="lottery")
    assert found(room, "a", generation=2) == []
    assert room.size == 1000 + OF_AN_ENTRY
    assert found(room, "c", topic="lottery") == ["c"]


def test_who_is_late_finds_and_leaves_nothing(room):
    put(room, "a", generation=2)
    put(room, "b", generation=1)
    assert found(room, "a", "b", generation=1) == []
    assert found(room, "a", "b", generation=2) == ["a"]


def test_cleared_it_has_all_its_room(room):
    put(room, "a", "b")
    room.clear()
    assert (found(room, "a", "b"), room.size) == ([], 0)
