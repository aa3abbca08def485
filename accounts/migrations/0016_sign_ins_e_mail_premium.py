"""Sign-ins that take older tokens, e-mail with its links, and premium until a date."""

import django.db.models.deletion
import django.utils.timezone
from django.conf import settings
from django.db import migrations, models
from django.db.models.functions import Lower, Now


class Migration(migrations.Migration):
    dependencies = [("accounts", "0015_sign_in_counts")]

    operations = [
        # The database says True: of the rows that are there, and of those that the version before
        # goes on to write while it is replaced.
        migrations.AddField(
            model_name="devicesession",
            name="takes_unnamed",
            field=models.BooleanField(
                db_default=True,
                default=False,
                editable=False,
                verbose_name="tokens without an issuer",
            ),
        ),
        migrations.AddField(
            model_name="user",
            name="email",
            field=models.EmailField(
                blank=True,
                help_text="Of whom a link was opened in its mailbox.",
                max_length=254,
                null=True,
                verbose_name="e-mail",
            ),
        ),
        migrations.AddConstraint(
            model_name="user",
            constraint=models.UniqueConstraint(Lower("email"), name="user_email_of_one_person"),
        ),
        migrations.CreateModel(
            name="EmailLink",
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
                        db_default=Now(), editable=False, verbose_name="updated at"
                    ),
                ),
                ("email", models.EmailField(max_length=254, verbose_name="e-mail")),
                ("day", models.DateField(verbose_name="day")),
                ("number", models.PositiveSmallIntegerField(verbose_name="number of the day")),
                (
                    "created_at",
                    models.DateTimeField(
                        default=django.utils.timezone.now, verbose_name="created at"
                    ),
                ),
                ("expires_at", models.DateTimeField(verbose_name="expires at")),
                (
                    "closed_at",
                    models.DateTimeField(blank=True, null=True, verbose_name="closed at"),
                ),
                (
                    "person",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="email_links",
                        to=settings.AUTH_USER_MODEL,
                        verbose_name="person",
                    ),
                ),
            ],
            options={
                "verbose_name": "e-mail link",
                "verbose_name_plural": "e-mail links",
                "indexes": [models.Index(fields=["created_at"], name="emaillink_old")],
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("closed_at__isnull", True)),
                        fields=("person",),
                        name="emaillink_one_open_per_person",
                    ),
                    models.UniqueConstraint(
                        Lower("email"),
                        models.F("day"),
                        models.F("number"),
                        name="emaillink_one_at_a_time",
                    ),
                ],
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
                ],
                "verbose_name": "person",
                "verbose_name_plural": "people",
            },
        ),
        migrations.AddField(
            model_name="user",
            name="premium_until",
            field=models.DateField(
                blank=True,
                editable=False,
                help_text="The last day, in the time zone of the platform.",
                null=True,
                verbose_name="premium until",
            ),
        ),
        # This version does not write the column; the next migration takes it out of the models.
        migrations.AlterField(
            model_name="user",
            name="is_premium",
            field=models.BooleanField(db_default=False, default=False, verbose_name="premium"),
        ),
    ]
