"""Lines of charts as SVG, and numbers as people read them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from django.utils.translation import pgettext_lazy

WIDTH, HEIGHT = 600, 150  # of the drawing; the page stretches it
ABOVE = 4  # so that a line at the top is not cut
NICE = (1, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10)
DECIMALS_BELOW = ((10, 2), (100, 1))  # of a number below this, so many places
# From so much on a number is said in thousands, millions, billions.
SHORT = (
    (10**9, 10**9, pgettext_lazy("a large number", "%(number)sB")),
    (10**6, 10**6, pgettext_lazy("a large number", "%(number)sM")),
    (10**5, 10**3, pgettext_lazy("a large number", "%(number)sk")),
)

type Values = Sequence[float | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What a line says in numbers; None where nothing is known of it."""

    last: float | None
    least: float | None
    most: float | None
    mean: float | None
    total: float | None

    @classmethod
    def of(cls, values: Values) -> "Figures":
        """What these values come to; gaps count for nothing."""
        known = [value for value in values if value is not None]
        if not known:
            return cls(last=None, least=None, most=None, mean=None, total=None)
        return cls(
            last=known[-1],
            least=min(known),
            most=max(known),
            mean=sum(known) / len(known),
            total=sum(known),
        )


def top_of(*lines: Values) -> float:
    """A round number that no value of these lines is above; 1 where all are nothing."""
    highest = max((value for line in lines for value in line if value is not None), default=0)
    if highest <= 0:
        return 1.0
    power = float(10 ** math.floor(math.log10(highest)))
    return next((nice * power for nice in NICE if nice * power >= highest), 10 * power)


def path(values: Values, *, top: float) -> str:
    """The line through these values, from left to right; it ends at a gap, and begins after it.

    A value with a gap on both sides is a point.
    """
    across = WIDTH / max(1, len(values) - 1)
    commands = []
    is_in_line = False
    for place, value in enumerate(values):
        if value is None:
            is_in_line = False
            continue
        x, y = round(place * across, 1), round(_height(value, top), 1)
        is_alone = not is_in_line and (place + 1 == len(values) or values[place + 1] is None)
        commands.append(f"M{x:g} {y:g}h.01" if is_alone else f"{'ML'[is_in_line]}{x:g} {y:g}")
        is_in_line = True
    return "".join(commands)


def _height(value: float, top: float) -> float:
    """How far down from the upper edge a value lies."""
    return HEIGHT - (HEIGHT - ABOVE) * max(0.0, value) / top


def in_words(value: float | None) -> str:
    """A number with so many digits as tell something, short enough for a small table."""
    if value is None:
        return "-"
    for least, scale, form in SHORT:
        if abs(value) >= least:
            return form % {"number": _digits(value / scale)}
    return _digits(value)


def _digits(value: float) -> str:
    size = abs(value)
    places = next((places for below, places in DECIMALS_BELOW if size < below), 0)
    text = f"{value:,.{places}f}"
    return text.rstrip("0").rstrip(".") if places else text
