"""Registration marks are never altered or deleted: each is the cause of a ledger entry."""

from django.db import migrations

from ops.append_only import AppendOnly


class Migration(migrations.Migration):
    dependencies = [("accounts", "0007_fill_marks")]

    operations = [AppendOnly("RegistrationMark")]
