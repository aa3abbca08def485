"""Entries of the stock ledger carry a hash, products keep the newest; the next migration fills them.

Orders keep the limit per person that was in force; what was ordered before has none.
"""

from django.db import migrations, models

from ops.append_only import AppendOnly, Writable

GENESIS_HASH = "0" * 64


class Migration(migrations.Migration):
    dependencies = [("catalog", "0003_large_totals")]

    operations = [
        migrations.AddField(
            model_name="order",
            name="limit_per_person",
            field=models.PositiveIntegerField(
                blank=True,
                help_text="As it was when this was ordered.",
                null=True,
                verbose_name="limit per person",
            ),
        ),
        migrations.AddField(
            model_name="product",
            name="stock_hash",
            field=models.CharField(
                default=GENESIS_HASH, editable=False, max_length=64, verbose_name="stock hash"
            ),
        ),
        Writable("StockEntry"),
        migrations.AddField(
            model_name="stockentry",
            name="previous_hash",
            field=models.CharField(default="", max_length=64, verbose_name="previous hash"),
            preserve_default=False,
        ),
        migrations.AddField(
            model_name="stockentry",
            name="entry_hash",
            field=models.CharField(default="", max_length=64, verbose_name="hash"),
            preserve_default=False,
        ),
        AppendOnly("StockEntry"),
    ]
