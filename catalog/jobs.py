"""What the scheduler runs for orders."""

from datetime import timedelta

from django.utils.translation import gettext_lazy as _

from catalog.services.orders import expire_orders
from ops.services.jobs import Job, jobs


def register() -> None:
    """Register the periodic jobs of the catalog."""
    jobs.register(
        "expire orders",
        Job(
            run=expire_orders,
            every=timedelta(seconds=5),
            in_batches=True,
            label=_("Take back orders whose time is over"),
        ),
    )
