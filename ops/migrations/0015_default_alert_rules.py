"""The rules that every platform begins with; the words of each come from the program."""

from django.conf import settings
from django.db import migrations
from django.utils import translation

_GIB = 1024**3

# In the columns of AlertRule; what is left out has the column's default.
ROWS = [
    {
        "slug": "error-rate",
        "name": "Requests fail",
        "metric": "platform_requests_total",
        "labels": {"status": "500"},
        "reading": "share",
        "of_metric": "platform_requests_total",
        "window_seconds": 120,
        "comparison": "above",
        "threshold": 0.05,
        "severity": "critical",
    },
    {
        "slug": "slow-requests",
        "name": "Requests take more than five seconds",
        "metric": "slow_request",
        "reading": "events",
        "comparison": "above",
        "threshold": 0,
    },
    {
        # Told by ops.monitoring.outage while it lasts; here it has its channels and its place.
        "slug": "database-away",
        "name": "The database cannot be reached",
        "metric": "platform_database_up",
        "comparison": "below",
        "threshold": 1,
        "for_seconds": 15,
        "severity": "critical",
    },
    {
        "slug": "database-connections",
        "name": "The database's connections run out",
        "metric": "platform_database_waiting",
        "comparison": "above",
        "threshold": 0,
        "for_seconds": 15,
    },
    {
        "slug": "redis-away",
        "name": "Redis cannot be reached",
        "metric": "platform_redis_up",
        "comparison": "below",
        "threshold": 1,
        "severity": "critical",
    },
    {
        "slug": "storage-away",
        "name": "Files cannot be stored",
        "metric": "platform_storage_up",
        "comparison": "below",
        "threshold": 1,
        "severity": "critical",
    },
    {
        "slug": "disk-nearly-full",
        "name": "The disk is nearly full",
        "metric": "platform_disk_free_bytes",
        "comparison": "below",
        "threshold": 2 * _GIB,
        "severity": "critical",
    },
    {
        "slug": "queue-old",
        "name": "Background work is late",
        "metric": "platform_queue_oldest_seconds",
        "comparison": "above",
        "threshold": 120,
    },
    {
        "slug": "job-failing",
        "name": "A periodic job keeps failing",
        "metric": "platform_job_failures_in_a_row",
        "comparison": "above",
        "threshold": 2,
    },
    {
        "slug": "tasks-lost",
        "name": "Background tasks fail or lose their worker",
        "metric": "platform_queue_failures",
        "comparison": "above",
        "threshold": 0,
    },
    {
        "slug": "job-late",
        "name": "A periodic job is not taken up",
        "metric": "platform_job_late_seconds",
        "comparison": "above",
        "threshold": 300,
    },
    {
        "slug": "worker-silent",
        "name": "No worker does the background work",
        "metric": "platform_silent_seconds",
        "comparison": "above",
        "threshold": 60,
        "severity": "critical",
    },
    {
        "slug": "review-queue-old",
        "name": "Receipts wait for a decision",
        "metric": "platform_review_queue_oldest_seconds",
        "comparison": "above",
        "threshold": 86400,
        "repeat_seconds": 86400,
    },
    {
        "slug": "stock-low",
        "name": "Products run out",
        "metric": "platform_products_low_stock",
        "comparison": "above",
        "threshold": 0,
        "severity": "info",
        "repeat_seconds": 86400,
    },
    {
        "slug": "memory",
        "name": "A process takes much memory",
        "metric": "platform_process_largest_bytes",
        "comparison": "above",
        "threshold": 1.5 * _GIB,
        "for_seconds": 300,
    },
    {
        "slug": "certificate-near-end",
        "name": "The certificate ends soon",
        "metric": "platform_certificate_days",
        "comparison": "below",
        "threshold": 14,
        "repeat_seconds": 86400,
    },
    {
        "slug": "seals-contradict",
        "name": "Seals and database contradict each other",
        "metric": "seals_contradict",
        "reading": "events",
        "window_seconds": 86400,
        "comparison": "above",
        "threshold": 0,
        "severity": "critical",
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
    dependencies = [("ops", "0014_alerts")]

    operations = [migrations.RunPython(make_rules, remove_rules)]
