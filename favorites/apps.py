from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class FavoritesConfig(AppConfig):
    name = "favorites"
    verbose_name = _("Favorites")

    def ready(self):
        from catalog.services import mall
        from favorites import merging, services

        merging.register()
        mall.set_favorite_test(services.is_favorite_of)
