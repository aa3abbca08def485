"""Entries by time, by rare kinds and by causes; by person their numbers find them."""

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

from ops.append_only import AppendOnly, Writable


class Migration(migrations.Migration):
    dependencies = [("accounts", "0013_console_sign_in")]

    operations = [
        Writable("PointsEntry"),
        migrations.AlterField(
            model_name="pointsentry",
            name="user",
            field=models.ForeignKey(
                db_index=False,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="points_entries",
                to=settings.AUTH_USER_MODEL,
                verbose_name="person",
            ),
        ),
        migrations.AddIndex(
            model_name="pointsentry",
            index=models.Index(fields=["created_at"], name="pointsentry_by_time"),
        ),
        migrations.AddIndex(
            model_name="pointsentry",
            index=models.Index(
                fields=["user", "source", "-sequence"],
                condition=models.Q(
                    source__in=("register", "cancel", "expire", "adjust", "reverse", "merge")
                ),
                name="pointsentry_rare_of_person",
            ),
        ),
        migrations.AddIndex(
            model_name="pointsentry",
            index=models.Index(
                fields=["source", "related_id"],
                condition=models.Q(source__in=("photo_upload", "expire", "adjust", "merge")),
                name="pointsentry_of_cause",
            ),
        ),
        AppendOnly("PointsEntry"),
    ]
