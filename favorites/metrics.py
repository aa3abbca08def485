"""What is counted of what people keep."""

from ops.measures import Counter, Label

FAVORITES = Counter(
    "platform_favorites_total",
    "Products that people began or ceased to keep.",
    Label("change", ("added", "removed")),
)
