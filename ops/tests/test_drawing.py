"""Lines of charts and the numbers beside them."""

import pytest
from django.utils import translation

from ops.monitoring import drawing
from ops.monitoring.drawing import HEIGHT, WIDTH, Figures


@pytest.mark.parametrize(
    ("lines", "top"),
    [
        ([[]], 1),
        ([[None], [0]], 1),
        ([[3.5], [None, 1.2]], 4),
        ([[1], [2]], 2),
        ([[2.1]], 2.5),
        ([[8.1]], 10),
        ([[1000]], 1000),
        ([[1001]], 1500),
        ([[0.041]], 0.05),
    ],
)
def test_the_scale_ends_at_a_round_number(lines, top):
    assert drawing.top_of(*lines) == pytest.approx(top)


def test_a_line_goes_from_edge_to_edge():
    assert drawing.path([0, 10], top=10) == f"M0 {HEIGHT}L{WIDTH} {drawing.ABOVE}"


def test_a_gap_breaks_the_line_and_is_no_zero():
    drawn = drawing.path([5, 5, None, 5, 5], top=10)
    assert drawn == "M0 77L150 77M450 77L600 77"
    assert str(HEIGHT) not in drawn.replace("L150", "")


@pytest.mark.parametrize(
    ("values", "points"),
    [
        ([5], ["M0 77h.01"]),
        ([None, 5, None], ["M300 77h.01"]),
        ([5, None, 5], ["M0 77h.01", "M600 77h.01"]),
        ([5, 5, None, 5], ["M0 77", "L200 77", "M600 77h.01"]),
    ],
)
def test_a_value_between_two_gaps_is_a_point(values, points):
    assert drawing.path(values, top=10) == "".join(points)


@pytest.mark.parametrize("values", [[], [None, None]])
def test_of_nothing_there_is_no_line(values):
    assert drawing.path(values, top=10) == ""
    assert Figures.of(values).last is None


def test_what_is_below_nothing_lies_at_the_edge():
    assert drawing.path([-5, 10], top=10).startswith(f"M0 {HEIGHT}L")


def test_figures_leave_gaps_out():
    assert Figures.of([None, 2, None, 7, 3, None]) == Figures(
        last=3, least=2, most=7, mean=4, total=12
    )


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (None, "-"),
        (0, "0"),
        (0.004, "0"),
        (0.034, "0.03"),
        (7, "7"),
        (6.999, "7"),
        (6.666, "6.67"),
        (99.96, "100"),
        (123.4, "123"),
        (12345.6, "12,346"),
        (99_999, "99,999"),
        (123_456, "123k"),
        (1_234_567, "1.23M"),
        (12_340_000, "12.3M"),
        (12_000_000, "12M"),
        (2_500_000_000, "2.5B"),
        (-0.5, "-0.5"),
        (100, "100"),
    ],
)
def test_a_number_has_as_many_places_as_its_size_deserves(value, words):
    with translation.override("en"):
        assert drawing.in_words(value) == words
