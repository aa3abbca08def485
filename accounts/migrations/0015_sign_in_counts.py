import django.db.models.functions.datetime
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0014_indexes_of_lists"),
    ]

    operations = [
        migrations.AddField(
            model_name="signincode",
            name="is_known",
            field=models.BooleanField(
                db_default=False,
                default=False,
                help_text="Whether somebody had signed in by this phone before.",
                verbose_name="signed in before",
            ),
        ),
        migrations.CreateModel(
            name="CodeCount",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "updated_at",
                    models.DateTimeField(
                        db_default=django.db.models.functions.datetime.Now(),
                        editable=False,
                        verbose_name="updated at",
                    ),
                ),
                (
                    "purpose",
                    models.CharField(
                        choices=[
                            ("address", "Codes for an address"),
                            ("prefix", "Codes for the first digits of a phone"),
                            ("platform", "Codes in all"),
                            ("wrong", "Wrong codes from an address"),
                            ("unsure", "Codes that may have arrived"),
                            ("told", "Events that were told"),
                        ],
                        max_length=8,
                        verbose_name="purpose",
                    ),
                ),
                ("key_hash", models.CharField(max_length=64, verbose_name="key hash")),
                ("since", models.DateTimeField(db_index=True, verbose_name="since")),
                ("count", models.PositiveIntegerField(default=0, verbose_name="count")),
            ],
            options={
                "verbose_name": "count of sign-in codes",
                "verbose_name_plural": "counts of sign-in codes",
                "constraints": [
                    models.UniqueConstraint(
                        fields=("purpose", "key_hash", "since"), name="codecount_one_per_span"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            (
                                "purpose__in",
                                ["address", "prefix", "platform", "wrong", "unsure", "told"],
                            )
                        ),
                        name="codecount_purpose_known",
                    ),
                ],
            },
        ),
    ]
