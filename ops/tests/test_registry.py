"""What apps hand in when they start."""

import pytest
from django.core.exceptions import ImproperlyConfigured

from ops.registry import Registry


def test_entries_are_found_by_name_in_the_order_they_came():
    words = Registry[str]()
    words.register("second", "b")
    words.register("first", "a")
    assert words["first"] == "a"
    assert list(words.values()) == ["b", "a"]
    assert list(words.items()) == [("second", "b"), ("first", "a")]
    assert words.names() == ["first", "second"]
    with pytest.raises(KeyError):
        words["third"]


def test_a_name_is_taken_once():
    words = Registry[str]()
    words.register("name", "a")
    words.register("name", "a")  # an app may start twice
    with pytest.raises(ImproperlyConfigured, match="name"):
        words.register("name", "b")
    assert words["name"] == "a"
