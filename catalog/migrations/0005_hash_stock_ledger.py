"""Chain the entries of the stock ledger that were written before they were chained.

The rule of the hash stands here once more: a migration does what it did, whatever becomes of the
rule. It proves nothing about the time before; from here on it does.
"""

import hashlib
import json
from datetime import UTC
from itertools import batched, groupby

from django.db import migrations

from ops.append_only import AppendOnly, Writable

GENESIS_HASH = "0" * 64
BATCH_SIZE = 2000


def hash_of(entry, previous_hash):
    facts = {
        "product_id": entry.product_id,
        "sequence": entry.sequence,
        "quantity": entry.quantity,
        "operation": entry.operation,
        "stock_after": entry.stock_after,
        "related_id": entry.related_id,
        "author_id": entry.author_id,
        "reason": entry.reason,
        "created_at": entry.created_at.astimezone(UTC).isoformat(timespec="microseconds"),
        "previous_hash": previous_hash,
    }
    canonical = json.dumps(facts, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode()).hexdigest()


def chained(product, entries):
    """The entries of a product with their hashes; leaves the newest one with the product."""
    for entry in entries:
        entry.previous_hash = product.stock_hash
        entry.entry_hash = product.stock_hash = hash_of(entry, entry.previous_hash)
        yield entry


def hash_ledger(apps, schema_editor):
    products = apps.get_model("catalog", "Product").objects
    ledger = apps.get_model("catalog", "StockEntry").objects
    rows = ledger.order_by("product_id", "sequence").iterator(chunk_size=BATCH_SIZE)
    for product_id, entries in groupby(rows, key=lambda entry: entry.product_id):
        product = products.only("stock_hash").get(pk=product_id)
        for batch in batched(chained(product, entries), BATCH_SIZE):
            ledger.bulk_update(batch, ["previous_hash", "entry_hash"], batch_size=500)
        product.save(update_fields=["stock_hash"])


class Migration(migrations.Migration):
    dependencies = [("catalog", "0004_stock_chain")]

    operations = [
        Writable("StockEntry"),
        migrations.RunPython(hash_ledger, migrations.RunPython.noop),
        AppendOnly("StockEntry"),
    ]
