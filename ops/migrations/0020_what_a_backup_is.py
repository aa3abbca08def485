"""What a backup is, of what it is made and by what it is known.

No version before this one wrote a row, so none needs an identifier of its own.

Risk accepted: the version before adds no rows here, so it misses no default of the database.
"""

import django.db.models.deletion
from django.db import migrations, models

import ops.models.backups


class Migration(migrations.Migration):
    dependencies = [
        ("ops", "0019_rules_on_sessions_gauges_and_codes"),
    ]

    operations = [
        migrations.AddField(
            model_name="backup",
            name="code_version",
            field=models.CharField(blank=True, max_length=100, verbose_name="version"),
        ),
        migrations.AddField(
            model_name="backup",
            name="compression",
            field=models.CharField(blank=True, max_length=10, verbose_name="compression"),
        ),
        migrations.AddField(
            model_name="backup",
            name="engine",
            field=models.CharField(blank=True, max_length=20, verbose_name="engine"),
        ),
        migrations.AddField(
            model_name="backup",
            name="identifier",
            field=models.CharField(
                default=ops.models.backups.new_identifier,
                max_length=32,
                unique=True,
                verbose_name="identifier",
            ),
        ),
        migrations.AddField(
            model_name="backup",
            name="key_id",
            field=models.CharField(blank=True, db_index=True, max_length=12, verbose_name="key id"),
        ),
        migrations.AddField(
            model_name="backup",
            name="kind",
            field=models.CharField(
                choices=[
                    ("full", "Full"),
                    ("incremental", "Incremental"),
                    ("point_in_time", "Full, to a point in time"),
                ],
                default="full",
                max_length=16,
                verbose_name="kind",
            ),
        ),
        migrations.AddField(
            model_name="backup",
            name="migrations",
            field=models.JSONField(blank=True, default=list, verbose_name="migrations"),
        ),
        migrations.AddField(
            model_name="backup",
            name="parent",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                to="ops.backup",
                verbose_name="follows",
            ),
        ),
        migrations.AddField(
            model_name="backup",
            name="proof_seconds",
            field=models.FloatField(blank=True, null=True, verbose_name="seconds of the proof"),
        ),
        migrations.AddField(
            model_name="backup",
            name="row_counts",
            field=models.JSONField(blank=True, default=dict, verbose_name="rows"),
        ),
        migrations.AddField(
            model_name="backup",
            name="server_version",
            field=models.CharField(
                blank=True, max_length=100, verbose_name="version of the server"
            ),
        ),
        migrations.AddField(
            model_name="backup",
            name="trigger",
            field=models.CharField(
                choices=[
                    ("schedule", "Schedule"),
                    ("hand", "By hand"),
                    ("migration", "Before a migration"),
                    ("deploy", "Before a deployment"),
                    ("restore", "Before a restore"),
                ],
                default="hand",
                max_length=12,
                verbose_name="trigger",
            ),
        ),
        migrations.AlterField(
            model_name="backup",
            name="sha256",
            field=models.CharField(
                blank=True, help_text="Of its manifest.", max_length=64, verbose_name="SHA-256"
            ),
        ),
        migrations.AddConstraint(
            model_name="backup",
            constraint=models.CheckConstraint(
                condition=models.Q(("kind__in", ["full", "incremental", "point_in_time"])),
                name="backup_kind_known",
            ),
        ),
        migrations.AddConstraint(
            model_name="backup",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("trigger__in", ["schedule", "hand", "migration", "deploy", "restore"])
                ),
                name="backup_trigger_known",
            ),
        ),
        migrations.AddConstraint(
            model_name="backup",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("kind", "incremental"), ("parent__isnull", False)),
                    models.Q(
                        models.Q(("kind", "incremental"), _negated=True), ("parent__isnull", True)
                    ),
                    models.Q(("status", "succeeded"), _negated=True),
                    _connector="OR",
                ),
                name="backup_follows_only_when_incremental",
            ),
        ),
    ]
