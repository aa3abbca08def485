"""What access to the console means: rights everywhere, and rights at single shops."""

from types import SimpleNamespace

import pytest

from ops import access
from ops.access import Access

ALL = Access(is_unlimited=True)
NOTHING = Access()
VIEW, CHANGE, DELETE = "catalog.view_product", "catalog.change_product", "catalog.delete_product"


def at(*shops, rights=(VIEW,), everywhere=()):
    return Access(
        everywhere=frozenset(everywhere), at_shops={shop: frozenset(rights) for shop in shops}
    )


def test_a_right_is_held_where_it_is_given():
    held = Access(
        everywhere=frozenset({VIEW}),
        at_shops={1: frozenset({CHANGE}), 2: frozenset({CHANGE, DELETE})},
    )

    assert held.permissions == {VIEW, CHANGE, DELETE}
    assert held.shops(VIEW) is None
    assert held.shops(CHANGE) == frozenset({1, 2})
    assert held.shops(DELETE) == frozenset({2})
    assert held.shops("catalog.add_product") == frozenset()
    assert held.shops(DELETE, CHANGE) == frozenset({1, 2})
    assert held.shops(DELETE, VIEW) is None
    assert held.may(DELETE)
    assert not held.may("catalog.add_product")


def test_who_holds_nothing_may_nothing_anywhere():
    assert NOTHING.shops(VIEW) == frozenset()
    assert not NOTHING.may(VIEW)
    assert not NOTHING.opens_console
    assert not at(1, rights=()).opens_console, "working somewhere without a right opens nothing"
    assert at(1).opens_console


def test_who_is_unlimited_may_everything_everywhere():
    assert ALL.shops("whatever.there_is") is None
    assert ALL.may("whatever.there_is")
    assert ALL.opens_console


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (ALL, ALL),
        (ALL, at(1, everywhere={VIEW})),
        (NOTHING, NOTHING),
        (at(1), NOTHING),
        (at(1), at(1)),
        (at(1, 2), at(1)),
        (at(1, rights={VIEW, CHANGE}), at(1)),
        (at(everywhere={VIEW, CHANGE}), at(everywhere={VIEW})),
        (at(everywhere={VIEW}), at(1, 2)),
        (at(1, rights={CHANGE}, everywhere={VIEW}), at(1, rights={VIEW, CHANGE})),
        (at(1), at(2, rights=())),
    ],
)
def test_who_holds_every_right_at_every_place_covers_somebody(one, other):
    assert one.covers(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (at(everywhere={VIEW, CHANGE, DELETE}), ALL),
        (NOTHING, at(1)),
        (at(1), at(2)),
        (at(1), at(1, 2)),
        (at(1), at(1, rights={VIEW, CHANGE})),
        (at(1, 2), at(everywhere={VIEW})),
        (at(everywhere={VIEW}), at(1, rights={CHANGE})),
        (at(1, rights={CHANGE}, everywhere={VIEW}), at(2, rights={CHANGE})),
    ],
)
def test_a_right_that_is_missing_anywhere_is_covered_by_nothing_else(one, other):
    assert not one.covers(other)


# --- Of a person ----------------------------------------------------------------------------------
def somebody(**facts):
    return SimpleNamespace(**{"pk": 1, "is_active": True, "is_superuser": False, **facts})


@pytest.fixture
def found(monkeypatch):
    """Whose access was asked for."""
    asked = []

    def find(person):
        asked.append(person)
        return at(7)

    monkeypatch.setattr(access, "_find", find)
    return asked


def test_access_is_found_out_once_for_each_time_a_person_is_read(found):
    person = somebody()
    assert access.access_of(person) == access.access_of(person) == at(7)
    assert found == [person]
    access.access_of(somebody())
    assert len(found) == 2


def test_a_closed_account_may_nothing_and_keeps_its_rights(found):
    closed, root = somebody(is_active=False), somebody(is_active=False, is_superuser=True)
    assert access.access_of(closed) == access.access_of(root) == NOTHING
    assert access.rights_of(closed) == at(7)
    assert access.rights_of(root) == ALL


def test_a_superuser_is_asked_about_nowhere(found):
    assert access.access_of(somebody(is_superuser=True)) == ALL
    assert found == []


def test_a_stranger_may_nothing(found):
    assert access.access_of(somebody(pk=None)) == NOTHING
    assert access.access_of(somebody(pk=None, is_active=False)) == NOTHING
    assert found == []
