"""What the scheduler runs for orders."""

from catalog.services.orders import expire_orders
from ops.services.jobs import jobs


def register() -> None:
    """Register the periodic jobs of the catalog."""
    jobs.register("expire orders", expire_orders)
