"""Shops, what they offer for points, what is in stock, and what was ordered."""

from catalog.models.categories import Category
from catalog.models.orders import Order, OrderSource, OrderStatus
from catalog.models.product_images import ProductImage
from catalog.models.product_templates import ProductTemplate
from catalog.models.product_terms import ProductKind
from catalog.models.products import Product, ProductStatus, mall_shows
from catalog.models.selections import Selection, SelectionStatus
from catalog.models.shop_invitations import ShopInvitation
from catalog.models.shop_members import ShopMember, ShopRole
from catalog.models.shops import Shop
from catalog.models.stock import StockEntry, StockOperation
from catalog.models.virtual_codes import VirtualCode

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
    "ShopInvitation",
    "ShopMember",
    "ShopRole",
    "StockEntry",
    "StockOperation",
    "VirtualCode",
    "mall_shows",
]
