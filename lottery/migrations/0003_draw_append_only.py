from django.db import migrations

from ops.append_only import AppendOnly


class Migration(migrations.Migration):
    dependencies = [("lottery", "0002_wheel_version_append_only")]

    operations = [AppendOnly("Draw")]
