"""Who gets the points of an order back whose account was merged into another."""

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("catalog", "0010_indexes_of_lists"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.AddField(
            model_name="order",
            name="returned_to",
            field=models.ForeignKey(
                blank=True,
                db_index=False,
                help_text="Who got its points back, where the account was merged before.",
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to=settings.AUTH_USER_MODEL,
                verbose_name="returned to",
            ),
        ),
        migrations.AddConstraint(
            model_name="order",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("returned_to__isnull", True),
                    models.Q(
                        ("status__in", ("cancelled", "expired")),
                        ("total_points__gt", 0),
                        models.Q(("returned_to", models.F("person")), _negated=True),
                    ),
                    _connector="OR",
                ),
                name="order_returned_to_another_account",
            ),
        ),
    ]
