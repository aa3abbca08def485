"""Who is premium without an end stays so for long: nobody said when it is over.

The column of the version before stays in the table, unread, for as long as processes of it run
beside those of this one. A later migration takes it away.
"""

from datetime import date

from django.db import migrations
from django.db.models.functions import Now
from django.utils import timezone

FAR_AWAY = date(2099, 12, 31)


def fill(apps, schema_editor):
    people = apps.get_model("accounts", "User")._base_manager.filter(is_premium=True)
    people.update(premium_until=FAR_AWAY, updated_at=Now())


def empty(apps, schema_editor):
    people = apps.get_model("accounts", "User")._base_manager
    people.update(is_premium=False)
    people.filter(premium_until__gte=timezone.localdate()).update(is_premium=True, updated_at=Now())


class Migration(migrations.Migration):
    dependencies = [("accounts", "0016_sign_ins_e_mail_premium")]

    operations = [
        migrations.RunPython(fill, empty),
        migrations.SeparateDatabaseAndState(
            state_operations=[migrations.RemoveField(model_name="user", name="is_premium")]
        ),
    ]
