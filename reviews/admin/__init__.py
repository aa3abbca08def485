"""The console's pages, one module for each kind of row. Importing a module registers its pages."""

from reviews.admin import process_records, receipts

__all__ = ["process_records", "receipts"]
