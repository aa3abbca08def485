"""The console's pages, one module for each kind of row. Importing a module registers its pages."""

from catalog.admin import (
    categories,
    orders,
    product_templates,
    products,
    selections,
    shop_invitations,
    shop_members,
    shops,
    stock,
    virtual_codes,
)

__all__ = [
    "categories",
    "orders",
    "product_templates",
    "products",
    "selections",
    "shop_invitations",
    "shop_members",
    "shops",
    "stock",
    "virtual_codes",
]
