"""Rules that stood in deploy/monitoring alone, and those on events of sign-in codes."""

from django.conf import settings
from django.db import migrations
from django.utils import translation

# In the columns of AlertRule; what is left out has the column's default.
ROWS = [
    {
        "slug": "database-sessions",
        "name": "The database server is nearly out of connections",
        "metric": "platform_database_sessions_used_ratio",
        "comparison": "above",
        "threshold": 0.9,
        "for_seconds": 60,
    },
    {
        "slug": "gauges-unread",
        "name": "Metrics of the database cannot be read",
        "metric": "platform_unread_gauges",
        "comparison": "above",
        "threshold": 0,
        "for_seconds": 300,
    },
    {
        "slug": "sms-pumping",
        "name": "Sign-in codes are sent and not used",
        # Once in each hour of the clock, as long as strangers are made to wait: nearly two hours
        # may lie between two of them.
        "metric": "sms_pumping",
        "reading": "events",
        "window_seconds": 7200,
        "comparison": "above",
        "threshold": 0,
    },
    {
        "slug": "sms-budget-used-up",
        "name": "The day's budget of sign-in codes is used up",
        # Once a day: on the next one it may come much earlier, and is an alert of its own then.
        "metric": "sms_budget_used_up",
        "reading": "events",
        "window_seconds": 3600,
        "comparison": "above",
        "threshold": 0,
        "severity": "critical",
        "repeat_seconds": 0,
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
    dependencies = [("ops", "0018_rules_that_say_little")]

    operations = [migrations.RunPython(make_rules, remove_rules)]
