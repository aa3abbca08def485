from django.db import migrations

from ops.append_only import AppendOnly


class Migration(migrations.Migration):
    dependencies = [("lottery", "0001_initial")]

    operations = [AppendOnly("WheelVersion")]
