from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("lottery", "0005_no_truncate")]

    operations = [
        migrations.AddField(
            model_name="seedpair",
            name="client_seed_by",
            field=models.CharField(
                choices=[("client", "Client"), ("server", "Server")],
                db_default="server",
                help_text="Made by the server, its proofs show consistency, not fairness.",
                max_length=6,
                verbose_name="client seed made by",
            ),
        ),
        migrations.AddConstraint(
            model_name="seedpair",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("client_seed_by", "server"),
                    models.Q(
                        ("client_seed_by", "client"), models.Q(("client_seed", ""), _negated=True)
                    ),
                    _connector="OR",
                ),
                name="seedpair_client_seed_has_its_maker",
            ),
        ),
    ]
