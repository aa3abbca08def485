from django.apps import AppConfig, apps
from django.contrib.admin import apps as admin_apps
from django.db.models.signals import post_migrate


class ConsoleAdminConfig(admin_apps.AdminConfig):
    """Django's admin, with the console as its site."""

    default = False  # the project itself is the app of this folder
    default_site = "config.console_site.ConsoleSite"


class ConfigConfig(AppConfig):
    """What needs every app: the entry points, the console's theme, the demo."""

    name = "config"

    def ready(self):
        from config import checks  # noqa: F401  importing registers them
        from config.roles import bring_groups
        from ops.services import maintenance

        # Else platform staff who have to change theirs could not maintain anything.
        maintenance.open_pages.register("own password", "admin:password_change")
        maintenance.open_pages.register("second step", "admin:second_step")
        maintenance.open_pages.register("second factor", "admin:second_factor")
        maintenance.open_pages.register("fresh factor", "admin:fresh_factor")
        # After the last app that has tables: by then the permissions of all of them are there.
        *_others, last = (app for app in apps.get_app_configs() if app.models_module)
        post_migrate.connect(bring_groups, sender=last)
