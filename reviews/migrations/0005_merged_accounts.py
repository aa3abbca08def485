"""Who gets the points of a receipt whose account was merged into another."""

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("catalog", "0011_merged_accounts"),
        ("ops", "0018_rules_that_say_little"),
        ("reviews", "0004_indexes_of_lists"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.AddField(
            model_name="receipt",
            name="paid_to",
            field=models.ForeignKey(
                blank=True,
                db_index=False,
                editable=False,
                help_text="Who got its points, where the account was merged before.",
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to=settings.AUTH_USER_MODEL,
                verbose_name="paid to",
            ),
        ),
        migrations.AddConstraint(
            model_name="receipt",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("paid_to__isnull", True),
                    models.Q(
                        ("points_awarded__gt", 0),
                        ("status", "approved"),
                        models.Q(("paid_to", models.F("person")), _negated=True),
                        models.Q(("paid_to", models.F("reviewer")), _negated=True),
                    ),
                    _connector="OR",
                ),
                name="receipt_paid_to_another_account",
            ),
        ),
    ]
