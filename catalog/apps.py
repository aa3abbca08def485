from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class CatalogConfig(AppConfig):
    name = "catalog"
    verbose_name = _("Shops, products and orders")

    def ready(self):
        from accounts.services import profile
        from catalog import integrity
        from catalog.services import orders, shops
        from ops.services.background import register_job

        integrity.register()
        profile.register_fact("is_merchant", shops.is_merchant)
        register_job("expire orders", orders.expire_orders)
