from itertools import groupby

from django.contrib import admin
from django.template.defaultfilters import filesizeformat
from django.utils.html import format_html_join
from django.utils.translation import gettext_lazy as _

from ops.admin_base import ReadOnlyAdmin
from ops.models import Backup
from ops.walls import OfPlatform


@admin.register(Backup)
class BackupAdmin(ReadOnlyAdmin):
    wall = OfPlatform()
    list_display = [
        "started_at",
        "kind",
        "trigger",
        "status",
        "stored",
        "finished_at",
        "proven_at",
    ]
    list_filter = ["status", "kind", "trigger"]
    ordering = ["-id"]
    fields = [
        "identifier",
        "status",
        "kind",
        "parent",
        "trigger",
        "started_at",
        "finished_at",
        "proven_at",
        "proof_seconds",
        "proof_failed_at",
        "removed_at",
        "log",
        "location",
        "stored",
        "engine",
        "code_version",
        "server_version",
        "newest_migrations",
        "rows",
        "compression",
        "key_id",
        "sha256",
    ]
    readonly_fields = ["stored", "newest_migrations", "rows"]

    @admin.display(description=_("size"), ordering="size")
    def stored(self, backup):
        """In words: bytes are for machines."""
        return filesizeformat(backup.size)

    @admin.display(description=_("migrations"))
    def newest_migrations(self, backup):
        """The last of each app; the manifest has all of them."""
        by_app = groupby(backup.migrations, key=lambda name: name.partition(".")[0])
        return format_html_join("\n", "<div>{}</div>", ((max(names),) for _app, names in by_app))

    @admin.display(description=_("rows"))
    def rows(self, backup):
        """Those of each table that has any, the most first."""
        counts = sorted(backup.row_counts.items(), key=lambda item: (-item[1], item[0]))
        some = ((table, count) for table, count in counts if count)
        return format_html_join("\n", "<div>{}: {}</div>", some)
