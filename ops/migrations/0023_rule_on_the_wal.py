"""A rule on the WAL that is received, where it is."""

from django.conf import settings
from django.db import migrations
from django.utils import translation

# In the columns of AlertRule; what is left out has the column's default.
ROWS = [
    {
        "slug": "wal-behind",
        "name": "What PostgreSQL writes is not received",
        "metric": "platform_wal_archive_behind_seconds",
        "comparison": "above",
        "threshold": 300,
        "severity": "critical",
        "repeat_seconds": 3600,
    },
]


def make_rules(apps, schema_editor):
    rules = apps.get_model("ops", "AlertRule").objects.using(schema_editor.connection.alias)
    with translation.override(settings.LANGUAGE_CODE):
        for row in ROWS:
            name = translation.gettext(str(row["name"]))
            # Somebody's own rule of this name stays theirs.
            if not rules.filter(name=name).exists():
                rules.create(**row | {"name": name})


def remove_rules(apps, schema_editor):
    """Take away those that were made here and never told of anything."""
    rules = apps.get_model("ops", "AlertRule").objects.using(schema_editor.connection.alias)
    rules.filter(slug__in=[row["slug"] for row in ROWS], alert__isnull=True).delete()


class Migration(migrations.Migration):
    dependencies = [("ops", "0022_rules_on_backups")]

    operations = [migrations.RunPython(make_rules, remove_rules)]
