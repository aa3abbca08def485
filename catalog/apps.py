from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class CatalogConfig(AppConfig):
    name = "catalog"
    verbose_name = _("Shops, products and orders")

    def ready(self):
        from accounts.services import customers, profile, sign_in
        from accounts.services.admissions import Admission, admissions
        from catalog import integrity, jobs, key_uses, merging, repairs
        from catalog import live_settings as _declared  # noqa: F401  importing declares them
        from catalog.models import Category, Product, ProductImage, Shop
        from catalog.services import console_access, invitations, members, orders
        from catalog.services.shops import is_merchant
        from ops import access
        from ops.services.freshness import topics

        integrity.register()
        jobs.register()
        key_uses.register()
        merging.register()
        repairs.register()
        access.set_finder(console_access.access_of)
        admissions.register(
            "invitations",
            Admission(awaits=invitations.is_awaited, admit=invitations.accept_all),
        )
        sign_in.closings.register("owners of shops", members.tell_of_closing)
        customers.dealings.register("orders", orders.ordered_at)
        profile.facts.register("is_merchant", is_merchant)
        profile.counts.register("orders", orders.counted_of)
        topics.register("catalog", (Shop, Category, Product, ProductImage))
