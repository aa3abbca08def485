from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class CatalogConfig(AppConfig):
    name = "catalog"
    verbose_name = _("Shops, products and orders")

    def ready(self):
        from accounts.services import profile
        from catalog import integrity, jobs, key_uses
        from catalog.services.shops import is_merchant

        integrity.register()
        jobs.register()
        key_uses.register()
        profile.facts.register("is_merchant", is_merchant)
