"""What every socket hears about stock, after commit."""

from catalog.models import StockEntry
from ops.realtime import push
from ops.realtime.push import Event


def stock_changed(entry: StockEntry) -> None:
    """Tell everybody once the entry is committed."""
    push.publish_on_commit(
        Event(
            type="stock_update",
            subject=f"stock:{entry.product_id}",
            version=entry.sequence,
            data={
                "product_id": entry.product_id,
                "stock": entry.stock_after,
                "product_name": entry.product.name,
                "operation": entry.operation,
                "stock_version": entry.sequence,
                "timestamp": push.timestamp(entry.created_at),
            },
        )
    )
