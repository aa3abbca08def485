"""What every socket hears about the stock of the mall, after commit."""

from catalog.models import StockEntry
from ops.realtime import push
from ops.realtime.push import Event


def stock_changed(entry: StockEntry) -> None:
    """Tell everybody once the entry is committed; of what customers do not see, nobody.

    The product is the one that the writer of the entry holds until commit: its name and whether it
    is visible are what is committed. When it is shown again its next change leaves a gap in
    `stock_version`, at which clients refetch.
    """
    if not entry.product.is_visible:
        return
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
