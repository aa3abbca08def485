"""A reader of receipts that needs no model: it reads what the test wrote down."""

from collections import deque
from datetime import UTC, datetime
from decimal import Decimal
from typing import ClassVar, override

from reviews.ocr.types import Reading, ReceiptReader

ISSUED_AT = datetime(2026, 11, 22, 10, 35, 20, tzinfo=UTC)


def make_reading(**fields):
    return Reading(
        **{
            "amount": Decimal("128.50"),
            "confidence": Decimal("0.9500"),
            "receipt_number": "20261122000123",
            "issued_at": ISSUED_AT,
            "boxes": (),
            **fields,
        }
    )


class ScriptedReader(ReceiptReader):
    """Gives the scripted readings one by one (an exception is raised), then one of nothing."""

    script: ClassVar[deque[Reading | Exception]] = deque()
    pictures: ClassVar[list[bytes]] = []

    @property
    @override
    def model_name(self) -> str:
        return "scripted"

    @property
    @override
    def settings(self) -> dict[str, int | float | str]:
        return {"pages": 1}

    @override
    def read(self, picture: bytes) -> Reading:
        self.pictures.append(picture)
        if not self.script:
            return make_reading(
                amount=None, confidence=Decimal(0), receipt_number="", issued_at=None
            )
        reading = self.script.popleft()
        if isinstance(reading, Exception):
            raise reading
        return reading
