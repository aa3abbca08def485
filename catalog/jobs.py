"""What the scheduler runs for orders and invitations."""

from datetime import timedelta

from django.utils.translation import gettext_lazy as _

from catalog.services.invitations import forget_expired
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
    jobs.register(
        "expired invitations",
        Job(
            run=forget_expired,
            every=timedelta(hours=1),
            in_batches=True,
            label=_("Forget invitations that nobody answered"),
        ),
    )
