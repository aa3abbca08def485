"""Whom a shop knows by their orders; two indexes less, of one column."""

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("catalog", "0009_change_marks"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.AlterField(
            model_name="order",
            name="person",
            field=models.ForeignKey(
                db_index=False,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="orders",
                to=settings.AUTH_USER_MODEL,
                verbose_name="person",
            ),
        ),
        migrations.AlterField(
            model_name="order",
            name="shop",
            field=models.ForeignKey(
                blank=True,
                db_index=False,
                help_text="Where it is redeemed. Empty: a prize that every shop honours.",
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="orders",
                to="catalog.shop",
                verbose_name="shop",
            ),
        ),
        migrations.AddIndex(
            model_name="order",
            index=models.Index(fields=["shop", "person"], name="order_person_of_shop"),
        ),
    ]
