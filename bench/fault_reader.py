"""A reader of receipts that does what the folder FAULTS says: it hangs, or takes memory."""

import os
import threading
from decimal import Decimal
from pathlib import Path
from typing import override

from reviews.ocr.types import Reading, ReceiptReader

HANG, HOLD = "hang", "hold"  # files that are there as long as the fault is
HELD = 300 * 1024**2  # bytes


class FaultyReader(ReceiptReader):
    @property
    @override
    def model_name(self) -> str:
        return "none"

    @property
    @override
    def settings(self) -> dict[str, int | float | str]:
        return {}

    @override
    def read(self, picture: bytes) -> Reading:
        folder = Path(os.environ["FAULTS"])
        held = bytearray(HELD) if (folder / HOLD).exists() else bytearray()
        held[::4096] = b"1" * len(held[::4096])  # a page that nobody wrote to is not there
        while (folder / HANG).exists():
            threading.Event().wait(0.1)
        return Reading(
            amount=None, confidence=Decimal(0), receipt_number="", issued_at=None, boxes=()
        )
