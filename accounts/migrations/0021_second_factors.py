"""The second factor of the console: secrets, recovery codes, and how often somebody may try."""

import django.db.models.deletion
import django.db.models.functions.datetime
import django.utils.timezone
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0020_held_back_codes"),
    ]

    operations = [
        migrations.CreateModel(
            name="RecoveryCode",
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
                    "code_hash",
                    models.CharField(editable=False, max_length=64, verbose_name="code hash"),
                ),
                ("key_id", models.CharField(editable=False, max_length=16, verbose_name="key id")),
                ("used_at", models.DateTimeField(blank=True, null=True, verbose_name="used at")),
            ],
            options={
                "verbose_name": "recovery code",
                "verbose_name_plural": "recovery codes",
            },
        ),
        migrations.CreateModel(
            name="SecondFactor",
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
                    "secret_encrypted",
                    models.TextField(editable=False, verbose_name="encrypted secret"),
                ),
                (
                    "last_step",
                    models.PositiveBigIntegerField(
                        editable=False,
                        help_text="The newest half minute whose code was taken: no code is taken twice.",
                        verbose_name="last step",
                    ),
                ),
                (
                    "created_at",
                    models.DateTimeField(
                        default=django.utils.timezone.now, verbose_name="created at"
                    ),
                ),
            ],
            options={
                "verbose_name": "second factor",
                "verbose_name_plural": "second factors",
            },
        ),
        migrations.AlterModelOptions(
            name="user",
            options={
                "permissions": [
                    ("close_user", "Can deactivate, ban and activate people"),
                    ("search_user", "Can find people by their whole phone number"),
                    ("password_user", "Can set the password of a person"),
                    ("premium_user", "Can grant and end premium"),
                    ("merge_user", "Can merge two accounts of one person"),
                    ("factor_user", "Can reset the second factor of a person"),
                ],
                "verbose_name": "person",
                "verbose_name_plural": "people",
            },
        ),
        migrations.RemoveConstraint(
            model_name="signinlimit",
            name="signinlimit_purpose_known",
        ),
        migrations.AlterField(
            model_name="signinlimit",
            name="purpose",
            field=models.CharField(
                choices=[
                    ("account", "Account"),
                    ("address", "Address"),
                    ("device", "Device"),
                    ("factor", "Second factor"),
                ],
                max_length=8,
                verbose_name="purpose",
            ),
        ),
        migrations.AddConstraint(
            model_name="signinlimit",
            constraint=models.CheckConstraint(
                condition=models.Q(("purpose__in", ["account", "address", "device", "factor"])),
                name="signinlimit_purpose_known",
            ),
        ),
        migrations.AddField(
            model_name="secondfactor",
            name="person",
            field=models.OneToOneField(
                on_delete=django.db.models.deletion.CASCADE,
                related_name="second_factor",
                to=settings.AUTH_USER_MODEL,
                verbose_name="person",
            ),
        ),
        migrations.AddField(
            model_name="recoverycode",
            name="factor",
            field=models.ForeignKey(
                db_index=False,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="recovery_codes",
                to="accounts.secondfactor",
                verbose_name="second factor",
            ),
        ),
        migrations.AddConstraint(
            model_name="recoverycode",
            constraint=models.UniqueConstraint(
                fields=("factor", "code_hash"), name="recoverycode_once_per_factor"
            ),
        ),
    ]
