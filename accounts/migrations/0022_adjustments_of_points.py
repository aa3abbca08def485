"""Why points were booked by hand: the causes of adjustments, which are never altered."""

import django.db.models.deletion
import django.utils.timezone
from django.conf import settings
from django.db import migrations, models

from ops.append_only import AppendOnly


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0021_second_factors"),
    ]

    operations = [
        migrations.CreateModel(
            name="PointsAdjustment",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("points", models.BigIntegerField(verbose_name="points")),
                (
                    "finding",
                    models.TextField(
                        blank=True,
                        help_text="What check_integrity said, where this answers it.",
                        verbose_name="finding",
                    ),
                ),
                (
                    "system_user",
                    models.TextField(
                        blank=True,
                        help_text="Of a command: name and host.",
                        verbose_name="system user",
                    ),
                ),
                ("reason", models.CharField(max_length=500, verbose_name="reason")),
                ("key_id", models.CharField(editable=False, max_length=16, verbose_name="key id")),
                (
                    "proof",
                    models.CharField(
                        editable=False,
                        help_text="Keyed; it says that the platform booked this, for whom and why.",
                        max_length=64,
                        verbose_name="proof",
                    ),
                ),
                (
                    "created_at",
                    models.DateTimeField(
                        default=django.utils.timezone.now, verbose_name="created at"
                    ),
                ),
                (
                    "author",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                        verbose_name="author",
                    ),
                ),
                (
                    "corrects",
                    models.OneToOneField(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="correction",
                        to="accounts.pointsentry",
                        verbose_name="corrected entry",
                    ),
                ),
                (
                    "person",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="adjustments",
                        to=settings.AUTH_USER_MODEL,
                        verbose_name="person",
                    ),
                ),
            ],
            options={
                "verbose_name": "adjustment of points",
                "verbose_name_plural": "adjustments of points",
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("points", 0), _negated=True),
                        name="pointsadjustment_changes_something",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("reason", ""), _negated=True),
                        name="pointsadjustment_for_a_reason",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("author__isnull", False), ("system_user", "")),
                            models.Q(
                                ("author__isnull", True),
                                models.Q(("system_user", ""), _negated=True),
                            ),
                            _connector="OR",
                        ),
                        name="pointsadjustment_by_somebody",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("author__isnull", True),
                            models.Q(("author", models.F("person")), _negated=True),
                            _connector="OR",
                        ),
                        name="pointsadjustment_not_of_its_author",
                    ),
                ],
            },
        ),
        AppendOnly("PointsAdjustment"),
    ]
