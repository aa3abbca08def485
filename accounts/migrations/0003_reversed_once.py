"""A reversal names the entry that it reverses, and each entry is reversed once."""

from django.db import migrations, models
from django.db.models import Q

from ops.append_only import AppendOnly, Writable


def once_per_cause(*sources):
    return migrations.AddConstraint(
        model_name="pointsentry",
        constraint=models.UniqueConstraint(
            fields=["source", "related_id"],
            condition=Q(source__in=sources),
            name="pointsentry_once_per_cause",
        ),
    )


class Migration(migrations.Migration):
    dependencies = [("accounts", "0002_points_ledger_append_only")]

    operations = [
        Writable("PointsEntry"),
        migrations.RemoveConstraint("pointsentry", "pointsentry_once_per_cause"),
        once_per_cause("register", "lottery", "prize", "exchange", "cancel", "reverse"),
        AppendOnly("PointsEntry"),
    ]
