"""User names made of digits alone: they could be the phone number by which another signs in.

Whoever had their own number as a name signs in by the number all the same; `12345` of before is
`name-12345` from now on.
"""

from django.db import migrations
from django.db.models import CharField, F, Func, Value
from django.db.models.functions import Concat, Now


def rename(apps, _schema_editor):
    people = (
        apps.get_model("accounts", "User")
        .objects.alias(
            rest=Func(
                F("username"), Value("0123456789 +-()"), function="LTRIM", output_field=CharField()
            )
        )
        .filter(rest="")
    )
    people.filter(username=F("phone")).update(username=None, updated_at=Now())
    people.filter(username="").update(username=None, updated_at=Now())
    people.update(username=Concat(Value("name-"), F("username")), updated_at=Now())


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0011_purges_and_nicknames"),
    ]

    operations = [
        migrations.RunPython(rename, migrations.RunPython.noop),
    ]
