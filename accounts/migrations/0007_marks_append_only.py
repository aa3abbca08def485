"""Registration marks are never altered or deleted: each is the cause of a ledger entry."""

from django.db import migrations

from ops.append_only import AppendOnly


class Migration(migrations.Migration):
    dependencies = [("accounts", "0006_marks_name_their_key")]

    operations = [AppendOnly("RegistrationMark")]
