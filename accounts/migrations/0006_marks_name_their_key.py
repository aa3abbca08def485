import hashlib

from django.conf import settings
from django.db import migrations


def name_the_first_key(apps, schema_editor):
    """What was marked before there were key ids was hashed under the last field key."""
    secret = settings.FIELD_ENCRYPTION_KEYS[-1].encode()
    key_id = hashlib.sha256(b"key id\0hash\0" + secret).hexdigest()[:12]
    RegistrationMark = apps.get_model("accounts", "RegistrationMark")
    RegistrationMark.objects.filter(key_id="").update(key_id=key_id)


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0005_key_ids"),
    ]

    operations = [
        # Back again nothing is to be undone: the column goes with the migration before this one.
        migrations.RunPython(name_the_first_key, migrations.RunPython.noop),
    ]
