"""The live settings of the mall."""

from datetime import timedelta

from django.conf import settings
from django.utils.translation import gettext_lazy as _

from ops.setting_kinds import Duration, Whole, declare

ORDER_LIFETIME = declare(
    Duration(
        key="orders.lifetime",
        default=lambda: settings.ORDER_LIFETIME,
        least=timedelta(),
        most=timedelta(days=3650),
        group=_("Orders"),
        label=_("Life of an order"),
        description=_("So long it can be redeemed; then points and stock return. For new ones."),
        is_public=True,
        environment="ORDER_LIFETIME_DAYS",
    )
)
LOW_STOCK = declare(
    Whole(
        key="products.low_stock",
        default=lambda: settings.LOW_STOCK,
        least=0,
        most=1_000_000,
        unit=_("units"),
        group=_("Products"),
        label=_("Low stock"),
        description=_("A product of the mall with so many units or fewer counts as short."),
        environment="LOW_STOCK",
    )
)
