"""What a reading of a receipt consists of."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Protocol

type Point = tuple[float, float]
type Corners = tuple[Point, Point, Point, Point]


@dataclass(frozen=True, slots=True)
class TextBox:
    """One recognised piece of text.

    `score` is the recogniser's own, 0 to 1. `corners` are pixels with y downwards, in reading
    order: the text's own top left, top right, bottom right, bottom left. So a slip photographed
    sideways needs no other sign: its boxes' top edges point up or down the picture.
    """

    text: str
    score: float
    corners: Corners


@dataclass(frozen=True, slots=True)
class Reading:
    """What one photo says: `amount` in yuan, `confidence` 0.0000 to 1.0000 with four places.

    `receipt_number` is empty and `issued_at` None when the slip shows none; a slip with a date
    but no time is issued at midnight.
    """

    amount: Decimal | None
    confidence: Decimal
    receipt_number: str
    issued_at: datetime | None
    boxes: tuple[TextBox, ...]


class ReceiptReader(Protocol):
    """Turns a picture into a reading; tests hand in one that needs no model."""

    @property
    def model_name(self) -> str: ...

    @property
    def settings(self) -> dict[str, int | float | str]:
        """What to record beside a reading, so that it can be explained later."""
        ...

    def read(self, picture: bytes) -> Reading: ...
