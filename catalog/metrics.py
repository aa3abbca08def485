"""What is counted of orders and stock."""

from django.utils.translation import gettext_lazy as _

from catalog.live_settings import LOW_STOCK as THRESHOLD
from catalog.models import Product, ProductKind, StockOperation
from ops.charts import Chart, Group, Shows
from ops.measures import Counter, EventKind, Gauge, Label

_KIND = Label("kind", ProductKind.values)

EXCHANGES = Counter("platform_exchanges_total", "Orders that were bought with points.", _KIND)
REDEMPTIONS = Counter("platform_redemptions_total", "Orders that were handed over.", _KIND)
ORDERS_RETURNED = Counter(
    "platform_orders_returned_total",
    "Orders that were cancelled or expired.",
    Label("status", ("cancelled", "expired")),
)
STOCK_UNITS = Counter(
    "platform_stock_units_total",
    "Units that came or went, by what moved them.",
    Label("operation", StockOperation.values),
)


def _low_stock() -> float:
    return Product.objects.visible().filter(stock__lte=THRESHOLD.value).count()


LOW_STOCK = Gauge(
    "platform_products_low_stock",
    "Products of the mall whose stock is at or below the threshold (products.low_stock).",
    read=_low_stock,
)

EXCHANGES_CHART = Chart(
    name="exchanges",
    title=_("Exchanges"),
    group=Group.BUSINESS,
    measure=EXCHANGES,
    shows=Shows.COUNT,
)

SHOP_WITHOUT_OWNER = EventKind(
    "shop_without_owner",
    _("A shop has no owner any more whose account is open: invite another one"),
    ("shop",),
)
