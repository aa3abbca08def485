"""Rules on backups. That one was begun or made is told to whoever switches that on."""

from django.conf import settings
from django.db import migrations
from django.utils import translation

# In the columns of AlertRule; what is left out has the column's default.
ROWS = [
    {
        "slug": "backup-overdue",
        "name": "There is no young proven backup",
        "metric": "platform_backup_overdue_seconds",
        "comparison": "above",
        "threshold": 0,
        "severity": "critical",
        "repeat_seconds": 86400,
    },
    {
        "slug": "backup-failed",
        "name": "A backup was not made",
        "metric": "backup_failed",
        "reading": "events",
        "window_seconds": 3600,
        "comparison": "above",
        "threshold": 0,
        "severity": "critical",
        "repeat_seconds": 0,
    },
    {
        "slug": "backup-not-proven",
        "name": "A backup could not be proven",
        "metric": "backup_not_proven",
        "reading": "events",
        "window_seconds": 3600,
        "comparison": "above",
        "threshold": 0,
        "severity": "critical",
        "repeat_seconds": 0,
    },
    {
        "slug": "backup-started",
        "name": "A backup was begun",
        "metric": "backup_started",
        "reading": "events",
        "window_seconds": 600,
        "comparison": "above",
        "threshold": 0,
        "severity": "info",
        "repeat_seconds": 0,
        "is_enabled": False,
    },
    {
        "slug": "backup-made",
        "name": "A backup was made",
        "metric": "backup_made",
        "reading": "events",
        "window_seconds": 600,
        "comparison": "above",
        "threshold": 0,
        "severity": "info",
        "repeat_seconds": 0,
        "is_enabled": False,
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
    dependencies = [("ops", "0021_proofs_and_ends_of_backups")]

    operations = [migrations.RunPython(make_rules, remove_rules)]
