"""Every change to shops, products, stock and orders, one module for each family of operations."""
