"""TRUNCATE is refused as well, on PostgreSQL."""

from django.db import migrations

from ops.append_only import AppendOnly, Writable


class Migration(migrations.Migration):
    dependencies = [("lottery", "0004_prize_rules_by_kind")]

    operations = [
        Writable("WheelVersion"),
        Writable("Draw"),
        AppendOnly("WheelVersion"),
        AppendOnly("Draw"),
    ]
