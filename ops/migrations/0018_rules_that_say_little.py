"""What the platform's own rules have to wait for: enough requests, jobs that catch up, 10 seconds."""

from django.db import migrations

# One error never makes more than one in twenty of so many.
LEAST_REQUESTS = 20
# Seconds in which what was due in maintenance is done.
UNTIL_CAUGHT_UP = 60
# A database that hangs is asked for up to five seconds at a time: told within half a minute.
DATABASE_AWAY = 10


def say_more(apps, schema_editor):
    """Give the platform's own rules what they did not have; what staff changed stays theirs."""
    rules = apps.get_model("ops", "AlertRule").objects.using(schema_editor.connection.alias)
    rules.filter(slug="error-rate", reading="share").update(least_whole=LEAST_REQUESTS)
    rules.filter(slug="database-away", for_seconds=15).update(for_seconds=DATABASE_AWAY)
    rules.filter(slug="job-late", for_seconds=0).update(for_seconds=UNTIL_CAUGHT_UP)


class Migration(migrations.Migration):
    dependencies = [("ops", "0017_least_and_unread")]

    operations = [migrations.RunPython(say_more, migrations.RunPython.noop)]
