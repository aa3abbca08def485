from django.db import migrations

from ops.change_marks import MarksChanges


class Migration(migrations.Migration):
    dependencies = [("lottery", "0009_console_permissions"), ("ops", "0008_change_marks")]

    operations = [
        MarksChanges("Wheel", "lottery"),
        MarksChanges("WheelVersion", "lottery"),
    ]
