"""From how many on a share says something, and since when a series is not read any more."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("ops", "0016_chart_samples")]

    operations = [
        migrations.AddField(
            "alertrule",
            "least_whole",
            models.PositiveIntegerField(
                db_default=0,
                default=0,
                help_text="For a share: while the other metric grew by less, it is read as none.",
                verbose_name="of at least",
            ),
        ),
        migrations.AddField(
            "alert",
            "unread_since",
            models.DateTimeField(
                blank=True,
                help_text="Nothing is read of this series, as of a machine that was taken away.",
                null=True,
                verbose_name="unread since",
            ),
        ),
    ]
