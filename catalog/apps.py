from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class CatalogConfig(AppConfig):
    name = "catalog"
    verbose_name = _("Shops, products and orders")

    def ready(self):
        from accounts.services import profile
        from catalog import checks
        from catalog.services import shops

        checks.register()
        profile.register_fact("is_merchant", shops.is_merchant)
