"""Accounts that were merged into another one, and the rows that say so, which are never altered."""

import django.db.models.deletion
import django.utils.timezone
from django.conf import settings
from django.db import migrations, models

from ops.append_only import AppendOnly


class Migration(migrations.Migration):
    dependencies = [("accounts", "0017_premium_has_an_end")]

    operations = [
        migrations.AlterModelOptions(
            name="user",
            options={
                "permissions": [
                    ("close_user", "Can deactivate, ban and activate people"),
                    ("search_user", "Can find people by their whole phone number"),
                    ("password_user", "Can set the password of a person"),
                    ("premium_user", "Can grant and end premium"),
                    ("merge_user", "Can merge two accounts of one person"),
                ],
                "verbose_name": "person",
                "verbose_name_plural": "people",
            },
        ),
        migrations.AddField(
            model_name="user",
            name="merged_accounts",
            field=models.PositiveIntegerField(
                db_default=0,
                default=0,
                editable=False,
                verbose_name="accounts merged into it",
            ),
        ),
        migrations.AddField(
            model_name="user",
            name="merged_into",
            field=models.ForeignKey(
                blank=True,
                db_index=False,
                editable=False,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to=settings.AUTH_USER_MODEL,
                verbose_name="merged into",
            ),
        ),
        migrations.AddIndex(
            model_name="user",
            index=models.Index(
                condition=models.Q(("merged_into__isnull", False)),
                fields=["merged_into"],
                name="user_merged_into",
            ),
        ),
        migrations.AddConstraint(
            model_name="user",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("merged_into", None),
                    models.Q(
                        ("email", None),
                        ("lifetime_points", 0),
                        ("phone", None),
                        ("status", "inactive"),
                        ("total_points", 0),
                        ("wechat_openid", None),
                        ("wechat_unionid", None),
                    ),
                    _connector="OR",
                ),
                name="user_merged_keeps_nothing",
            ),
        ),
        migrations.CreateModel(
            name="AccountMerge",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("points", models.PositiveBigIntegerField(verbose_name="points moved")),
                (
                    "lifetime_points",
                    models.PositiveBigIntegerField(verbose_name="lifetime points moved"),
                ),
                ("reason", models.CharField(max_length=500, verbose_name="reason")),
                (
                    "key_id",
                    models.CharField(editable=False, max_length=16, verbose_name="key id"),
                ),
                (
                    "proof",
                    models.CharField(
                        editable=False,
                        help_text="Keyed; it says that the platform merged these accounts and moved so much.",
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
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                        verbose_name="author",
                    ),
                ),
                (
                    "merged",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="merge",
                        to=settings.AUTH_USER_MODEL,
                        verbose_name="merged account",
                    ),
                ),
                (
                    "survivor",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="merges",
                        to=settings.AUTH_USER_MODEL,
                        verbose_name="account that goes on",
                    ),
                ),
            ],
            options={
                "verbose_name": "merge of accounts",
                "verbose_name_plural": "merges of accounts",
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("merged", models.F("survivor")), _negated=True),
                        name="accountmerge_of_two_accounts",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("author", models.F("survivor")), _negated=True),
                            models.Q(("author", models.F("merged")), _negated=True),
                        ),
                        name="accountmerge_not_of_its_author",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("reason", ""), _negated=True),
                        name="accountmerge_for_a_reason",
                    ),
                ],
            },
        ),
        AppendOnly("AccountMerge"),
    ]
