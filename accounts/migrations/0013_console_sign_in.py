import django.db.models.deletion
import django.db.models.functions.datetime
import django.db.models.lookups
import django.utils.timezone
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0012_names_are_no_numbers"),
        ("auth", "0012_alter_user_first_name_max_length"),
        ("ops", "0005_updated_at"),
    ]

    operations = [
        migrations.CreateModel(
            name="ConsoleDevice",
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
                    "token_hash",
                    models.CharField(db_index=True, max_length=64, verbose_name="token hash"),
                ),
                (
                    "address",
                    models.GenericIPAddressField(blank=True, null=True, verbose_name="address"),
                ),
                (
                    "user_agent",
                    models.CharField(blank=True, max_length=255, verbose_name="user agent"),
                ),
                (
                    "first_signed_in_at",
                    models.DateTimeField(
                        default=django.utils.timezone.now, verbose_name="first signed in at"
                    ),
                ),
                (
                    "last_activity_at",
                    models.DateTimeField(
                        default=django.utils.timezone.now, verbose_name="last activity"
                    ),
                ),
                ("ended_at", models.DateTimeField(blank=True, null=True, verbose_name="ended at")),
            ],
            options={
                "verbose_name": "console sign-in",
                "verbose_name_plural": "console sign-ins",
                "permissions": [("end_consoledevice", "Can end console sign-ins")],
            },
        ),
        migrations.CreateModel(
            name="SignInLimit",
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
                            ("account", "Account"),
                            ("address", "Address"),
                            ("device", "Device"),
                        ],
                        max_length=8,
                        verbose_name="purpose",
                    ),
                ),
                ("key_hash", models.CharField(max_length=64, verbose_name="key hash")),
                (
                    "failures",
                    models.PositiveIntegerField(default=0, verbose_name="wrong passwords"),
                ),
                (
                    "last_failed_at",
                    models.DateTimeField(db_index=True, verbose_name="last wrong password"),
                ),
                (
                    "blocked_until",
                    models.DateTimeField(blank=True, null=True, verbose_name="held back until"),
                ),
            ],
            options={
                "verbose_name": "sign-in limit",
                "verbose_name_plural": "sign-in limits",
            },
        ),
        migrations.AddConstraint(
            model_name="user",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("username", None),
                    models.Q(
                        django.db.models.lookups.Exact(
                            models.Func(
                                models.F("username"),
                                models.Value("0123456789 +-()"),
                                function="LTRIM",
                            ),
                            models.Value(""),
                        ),
                        _negated=True,
                    ),
                    _connector="OR",
                ),
                name="user_name_is_no_number",
            ),
        ),
        migrations.AddField(
            model_name="consoledevice",
            name="person",
            field=models.ForeignKey(
                db_index=False,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="console_devices",
                to=settings.AUTH_USER_MODEL,
                verbose_name="person",
            ),
        ),
        migrations.AddConstraint(
            model_name="signinlimit",
            constraint=models.UniqueConstraint(
                fields=("purpose", "key_hash"), name="signinlimit_one_per_key"
            ),
        ),
        migrations.AddConstraint(
            model_name="signinlimit",
            constraint=models.CheckConstraint(
                condition=models.Q(("purpose__in", ["account", "address", "device"])),
                name="signinlimit_purpose_known",
            ),
        ),
        migrations.AddConstraint(
            model_name="consoledevice",
            constraint=models.UniqueConstraint(
                fields=("person", "token_hash"), name="consoledevice_one_per_person_and_token"
            ),
        ),
    ]
