"""What is planted against the checks is repaired or named: the drill, in little."""

import pytest

from bench.drills.repair import plant_and_repair

pytestmark = [pytest.mark.django_db, pytest.mark.story]


def test_each_kind_of_corruption_is_repaired_or_named():
    said: list[str] = []
    plant_and_repair(count=None, say=said.append)
    assert said[-1] == "a second run changed nothing"
