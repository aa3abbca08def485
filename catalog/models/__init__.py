"""Shops, what they offer for points, what is in stock, and what was ordered."""

from catalog.models.orders import Order, OrderSource, OrderStatus
from catalog.models.products import (
    Category,
    Product,
    ProductImage,
    ProductKind,
    ProductStatus,
    ProductTemplate,
    Selection,
    SelectionStatus,
)
from catalog.models.shops import Shop, ShopMember, ShopRole
from catalog.models.stock import StockEntry, StockOperation, VirtualCode

__all__ = [
    "Category",
    "Order",
    "OrderSource",
    "OrderStatus",
    "Product",
    "ProductImage",
    "ProductKind",
    "ProductStatus",
    "ProductTemplate",
    "Selection",
    "SelectionStatus",
    "Shop",
    "ShopMember",
    "ShopRole",
    "StockEntry",
    "StockOperation",
    "VirtualCode",
]
