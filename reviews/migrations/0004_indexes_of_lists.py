"""Receipts of a person by id, of a shop by person and by risk; two indexes less, of one column."""

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("catalog", "0010_indexes_of_lists"),
        ("ops", "0007_audit_trail"),
        ("reviews", "0003_console_permissions"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.AlterField(
            model_name="receipt",
            name="person",
            field=models.ForeignKey(
                db_index=False,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="receipts",
                to=settings.AUTH_USER_MODEL,
                verbose_name="person",
            ),
        ),
        migrations.AlterField(
            model_name="receipt",
            name="shop",
            field=models.ForeignKey(
                db_index=False,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="receipts",
                to="catalog.shop",
                verbose_name="shop",
            ),
        ),
        migrations.AddIndex(
            model_name="receipt",
            index=models.Index(fields=["person", "-id"], name="receipt_newest_of_person"),
        ),
        migrations.AddIndex(
            model_name="receipt",
            index=models.Index(fields=["shop", "person"], name="receipt_person_of_shop"),
        ),
        migrations.AddIndex(
            model_name="receipt",
            index=models.Index(fields=["shop", "risk_score"], name="receipt_risk_of_shop"),
        ),
    ]
