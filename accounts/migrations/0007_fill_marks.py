"""Marks of the version before say whom they welcomed with how many points.

The mark of an account is found by its phone, as the sign-in finds it. The rule of the keyed hash
stands here once more: a migration does what it did, whatever becomes of the rule.
"""

import hashlib
import hmac

from django.conf import settings
from django.db import migrations


def keyed_hash(purpose, value):
    secret = settings.FIELD_ENCRYPTION_KEYS[-1].encode()
    key = hashlib.sha256(purpose.encode() + b":" + secret).digest()
    return hmac.new(key, value.encode(), "sha256").hexdigest()


def fill_marks(apps, schema_editor):
    marks = apps.get_model("accounts", "RegistrationMark").objects
    welcomed = apps.get_model("accounts", "PointsEntry").objects.filter(
        source="register", user__phone__isnull=False
    )
    for person_id, phone, points in welcomed.values_list(
        "user", "user__phone", "points"
    ).iterator():
        key_hash = keyed_hash("registered phone", phone)
        proof = keyed_hash("registration mark", f"{key_hash}:{person_id}:{points}")
        marks.filter(key_hash=key_hash, proof="").update(
            person_id=person_id, points=points, proof=proof
        )


class Migration(migrations.Migration):
    dependencies = [("accounts", "0006_marks_name_their_key")]

    operations = [migrations.RunPython(fill_marks, migrations.RunPython.noop)]
