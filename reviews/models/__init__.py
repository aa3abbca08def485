"""Receipts that people photographed, and the processes that read them."""

from reviews.models.process_records import (
    UNFINISHED,
    ProcessError,
    ProcessKind,
    ProcessRecord,
    ProcessStatus,
    readings,
)
from reviews.models.receipts import (
    Receipt,
    ReceiptStatus,
    being_read,
    reading_key,
)

__all__ = [
    "UNFINISHED",
    "ProcessError",
    "ProcessKind",
    "ProcessRecord",
    "ProcessStatus",
    "Receipt",
    "ReceiptStatus",
    "being_read",
    "reading_key",
    "readings",
]
