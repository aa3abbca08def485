from django.db import migrations

from ops.change_marks import MarksChanges


class Migration(migrations.Migration):
    dependencies = [("catalog", "0008_console_permissions"), ("ops", "0008_change_marks")]

    operations = [
        MarksChanges("Shop", "catalog"),
        MarksChanges("Category", "catalog"),
        MarksChanges("Product", "catalog"),
        MarksChanges("ProductImage", "catalog"),
    ]
