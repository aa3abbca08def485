"""Registration marks say to whom they gave how many points, with a proof; the next one fills them."""

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("accounts", "0003_reversed_once")]

    operations = [
        migrations.AddField(
            model_name="registrationmark",
            name="person",
            field=models.ForeignKey(
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="registration_marks",
                to=settings.AUTH_USER_MODEL,
                verbose_name="person",
            ),
        ),
        migrations.AddField(
            model_name="registrationmark",
            name="points",
            field=models.PositiveBigIntegerField(default=0, verbose_name="points"),
        ),
        migrations.AddField(
            model_name="registrationmark",
            name="proof",
            field=models.CharField(
                blank=True,
                default="",
                help_text="Keyed; it says that the platform gave these points to this person.",
                max_length=64,
                verbose_name="proof",
            ),
            preserve_default=False,
        ),
    ]
